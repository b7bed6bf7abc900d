"""What the shells share: obeying a session, and what jobs call. Subclasses add time, connections, things to await."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from copilot_socket.client import events
from copilot_socket.client.job import BaseJob
from copilot_socket.client.problems import JobFailure, JobRelease, ReportRefused
from copilot_socket.client.session import Session


class Shell:
    """Runs *session*. All its methods are called in one thread."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.held: dict[str, BaseJob[Any, Any]] = {}
        """The jobs that are not over, by id."""
        self._waiters: dict[int, Any] = {}
        """Ticket → what is settled with its answer."""
        self._obeying = False

    @property
    def features(self) -> frozenset[str]:
        """What the server understands beyond the first edition of the protocol."""
        return self.session.features

    # -- what a subclass adds

    def now(self) -> float:
        """A monotonic time in seconds."""
        raise NotImplementedError

    def call_at(self, deadline: float | None) -> None:
        """Call :meth:`obey` at this time, and no longer at the one before."""
        raise NotImplementedError

    def connect(self) -> None:
        """Open a connection, which calls the session."""
        raise NotImplementedError

    def disconnect(self, abort: bool) -> None:
        """Close the connection, or give up opening it."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Write to the connection."""
        raise NotImplementedError

    def make_job(self, fields: Mapping[str, Any]) -> BaseJob[Any, Any]:
        """The job with these *fields*."""
        raise NotImplementedError

    def take(self, job: Any) -> None:
        """A job has arrived: have it started."""
        raise NotImplementedError

    def make_waiter(self) -> Any:
        """Something to await."""
        raise NotImplementedError

    def settle(self, waiter: Any, result: Any, quietly: bool = False) -> None:
        """Have *waiter* return *result*, or raise it if it is an exception. It may be settled already.

        *quietly*: if nobody awaits it, there is nothing to be logged.
        """
        raise NotImplementedError

    def warn(self, text: str) -> None:
        """Write to the log."""
        raise NotImplementedError

    def stopped(self) -> None:
        """The crawler has stopped."""
        raise NotImplementedError

    # -- called by jobs

    def report(self, job: Any, kind: str, parts: list[dict[str, Any]]) -> Any:
        """See :class:`copilot_socket.client.job.Reporter`, as for the methods below."""
        return self._ask(self.session.jobs.report, job.id, kind, parts)

    def refresh_token(self, job: Any, data: dict[str, Any]) -> Any:
        """See above."""
        return self._ask(self.session.jobs.refresh_token, job.id, data)

    def rate_limit(self, job: Any, data: dict[str, Any]) -> None:
        """See above."""
        self.call(self.session.jobs.rate_limit, job.id, data)

    def complete(self, job: Any, counts: Mapping[str, float] | None) -> Any:
        """See above."""
        return self.end(job, self.session.jobs.complete, counts)

    def fail(self, job: Any, failure: JobFailure) -> Any:
        """See above."""
        return self.end(job, self.session.jobs.fail, failure)

    def release(self, job: Any, release: JobRelease) -> Any:
        """See above."""
        return self.end(job, self.session.jobs.release, release)

    def end(self, job: Any, how: Callable[[str, Any, float], int], argument: Any) -> Any:
        """End *job* by a method of the session's jobs."""
        answered = self._ask(how, job.id, argument)
        job.over = True
        self.held.pop(job.id, None)
        return answered

    def _ask(self, how: Callable[..., int], *arguments: Any) -> Any:
        waiter = self.make_waiter()
        try:
            self._waiters[how(*arguments, self.now())] = waiter
        except ReportRefused as problem:
            self.settle(waiter, problem)
        self.obey()
        return waiter

    # -- obeying

    def call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a method of the session with the time, and do what follows from it."""
        function(*arguments, self.now())
        self.obey()

    def obey(self) -> None:
        """Do what the session says, until there is nothing more at present."""
        if self._obeying:
            return
        self._obeying = True
        try:
            while (event := self.session.next_event(self.now())) is not None:
                self._OBEY[type(event)](self, event)
            self._write()
        finally:
            self._obeying = False
        self.call_at(self.session.deadline)

    def _write(self) -> None:
        output = self.session.output()
        if output:
            self.write(output)

    def _connect(self, _event: events.Connect) -> None:
        self.connect()

    def _disconnect(self, event: events.Disconnect) -> None:
        self._write()
        self.disconnect(event.abort)

    def _assigned(self, event: events.Assigned) -> None:
        job = self.held[event.job_id] = self.make_job(event.fields)
        self.take(job)

    def _stop_requested(self, event: events.StopRequested) -> None:
        job = self.held.get(event.job_id)
        if job is not None:
            job.stopping = event.reason
            job.interrupt()

    def _lost(self, event: events.Lost) -> None:
        job = self.held.pop(event.job_id, None)
        if job is not None:
            job.gone = event.problem
            job.interrupt()
        for ticket in event.tickets:
            self._answer(ticket, event.problem, quietly=True)

    def _answered(self, event: events.Answered) -> None:
        if event.token is not None and event.job_id in self.held:
            self.held[event.job_id].access_token = event.token
        self._answer(event.ticket, event.token)

    def _refused(self, event: events.Refused) -> None:
        self._answer(event.ticket, event.problem)

    def _answer(self, ticket: int, result: Any, quietly: bool = False) -> None:
        waiter = self._waiters.pop(ticket, None)
        if waiter is not None:
            self.settle(waiter, result, quietly)

    def _warned(self, event: events.Warned) -> None:
        self.warn(event.text)

    def _finished(self, _event: events.Finished) -> None:
        self.stopped()

    _OBEY: ClassVar[Mapping[type, Callable[["Shell", Any], None]]] = {
        events.Connect: _connect,
        events.Disconnect: _disconnect,
        events.Assigned: _assigned,
        events.StopRequested: _stop_requested,
        events.Lost: _lost,
        events.Answered: _answered,
        events.Refused: _refused,
        events.Warned: _warned,
        events.Finished: _finished,
    }
