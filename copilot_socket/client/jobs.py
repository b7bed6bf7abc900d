"""The jobs of a session, what is reported on them, and what the server answers. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from copilot_socket.client.assignments import Assignment, Assignments
from copilot_socket.client.connection import Connection, Phase
from copilot_socket.client.endings import Ending, completed, failed, released
from copilot_socket.client.events import Answered, Assigned, Event, Lost, Refused, StopRequested
from copilot_socket.client.messages import encode
from copilot_socket.client.outbox import TOKEN_REQUEST, Outbox, Pending
from copilot_socket.client.problems import JobFailure, JobGone, JobRelease, Reason, ReportRefused, TokenRefused

NEEDED = ("id", "entityType", "entityId", "gitlabUrl", "accessToken")
"""Fields of a job that are strings."""
_GIVEN_BACK = JobGone("stale_assignment", "the crawler stops, and has given the job back")


class Jobs:
    """Holds the assignments and the unanswered reports, and sends the latter over *connection* while that is ready.

    *acks*: whether the server acknowledges reports. *events*: where events are added.
    """

    def __init__(
        self, connection: Connection, events: list[Event], acks: bool, timestamp: Callable[[], str], most: int
    ) -> None:
        self.held = Assignments()
        self.features: frozenset[str] = frozenset()
        self.most = most
        """Bytes of a message that the server accepts."""
        self._connection = connection
        self._events = events
        self._acks = acks
        self._timestamp = timestamp
        self._outbox = Outbox()

    @property
    def busy(self) -> bool:
        """Whether a job runs or an answer is outstanding."""
        return self.held.active > 0 or len(self._outbox) > 0

    @property
    def can_release(self) -> bool:
        """Whether jobs can be given back."""
        return "job_released" in self.features

    @property
    def deadline(self) -> float | None:
        """When :meth:`tick` has something to send."""
        limits = (each.rate_limits.deadline for each in self.held if not each.over)
        return min((each for each in limits if each is not None), default=None)

    def tick(self, now: float) -> None:
        """Send what is due."""
        for job in self.held:
            if not job.over:
                self._tell(job, job.rate_limits.due(now))

    # -- called by the crawler's code

    def begin(self, job_id: str, now: float) -> None:
        """The job is started. Raises :class:`JobGone`."""
        job = self.held.running(job_id)
        if not job.started:
            job.started = True
            self._report(job, "job_started", [{"entityType": job.entity_type, "entityId": job.entity_id}], now)

    def report(self, job_id: str, kind: str, parts: list[dict[str, Any]], now: float) -> int:
        """Report each of *parts* in a message of type *kind*; the ticket for the answer to all of them.

        Raises :class:`JobGone`, and :class:`ReportRefused` for what the server would not accept.
        """
        job = self.held.running(job_id)
        ticket = self._report(job, kind, parts, now)
        if kind == "job_progress":
            job.progressed(parts[-1])
        return ticket

    def refresh_token(self, job_id: str, data: dict[str, Any], now: float) -> int:
        """Ask for a new token; the ticket for it. Requests for a job share one message. Raises :class:`JobGone`."""
        self.held.running(job_id)
        waiting = self._outbox.token_request(job_id)
        return self.report(job_id, TOKEN_REQUEST, [data], now) if waiting is None else self._outbox.join(waiting)

    def rate_limit(self, job_id: str, data: dict[str, Any], now: float) -> None:
        """Send the state of a limit of GitLab's soon, if the server understands it. There is no answer."""
        job = self.held.get(job_id)
        if job is not None and not job.over and "rate_limit" in self.features:
            self._tell(job, job.rate_limits.say(data, now))

    def complete(self, job_id: str, counts: Mapping[str, float] | None, now: float) -> int:
        """The job is done; the ticket for the answer. Raises :class:`JobGone`, as all that follow."""
        return self._end(self.held.running(job_id), completed(counts), now)

    def fail(self, job_id: str, failure: JobFailure, now: float) -> int:
        """The job has failed; the ticket for the answer."""
        return self._end(self.held.running(job_id), failed(failure, self.features), now)

    def release(self, job_id: str, release: JobRelease, now: float) -> int:
        """Give the job back; the ticket for the answer."""
        job = self.held.running(job_id)
        return self._end(job, released(release, job.cursor, self.features), now)

    def raised(self, job_id: str, error: BaseException, now: float) -> int:
        """The crawler's code has raised *error*; the ticket for the report of that.

        If it was asked to stop, that has caused the error, whatever it is: HTTP clients raise their own.
        """
        job = self.held.running(job_id)
        if isinstance(error, JobRelease):
            return self.release(job_id, error, now)
        if job.stopping is not None and self.can_release:
            cursor = error.resume_state if isinstance(error, JobFailure) else None
            return self.release(job_id, JobRelease(job.stopping, resume_state=cursor), now)
        return self.fail(job_id, JobFailure.of(error), now)

    def _end(self, job: Assignment, ending: Ending, now: float) -> int:
        # The last states of limits go before the report, after which nothing of the job counts.
        self._tell(job, job.rate_limits.flush())
        kind, data = ending
        try:
            return self._report(job, kind, [data], now)
        except ReportRefused as problem:
            self._report_refusal(job, kind, problem, now)
            raise
        finally:
            job.over = True
            self._forget_if_over(job.id)

    def _report(self, job: Assignment, kind: str, parts: list[dict[str, Any]], now: float) -> int:
        lines = []
        for part in parts:
            ref = self._outbox.ref()
            line = encode(kind, part, self._timestamp(), job=job.id, ref=ref)
            if len(line) - 1 > self.most:
                text = f"the server accepts no message longer than {self.most} bytes"
                raise ReportRefused("message_too_large", text)
            lines.append((ref, line))
        ticket, added = self._outbox.add(kind, job.id, lines)
        for pending in added:
            self._deliver(pending, now)
        return ticket

    def _deliver(self, pending: Pending, now: float) -> None:
        if self._connection.phase is not Phase.READY:
            return
        if self._acks or pending.kind == TOKEN_REQUEST:
            self._connection.ask(pending.line, now)
        else:
            self._connection.send(pending.line)
            self._settle(pending)

    def _tell(self, job: Assignment, states: list[Any]) -> None:
        if self._connection.phase is Phase.READY:
            for data in states:
                self._connection.send(encode("rate_limit", data, self._timestamp(), job=job.id))

    # -- called by the session

    def resend(self, now: float) -> None:
        """The connection is ready: send everything that is not answered."""
        for pending in self._outbox:
            self._deliver(pending, now)

    def add(self, fields: dict[str, Any], declined: bool, now: float) -> None:
        """A job has arrived, unless it is held already. *declined*: give it back at once."""
        if fields["id"] in self.held:
            return
        job = self.held.add(fields)
        if declined:
            self._end(job, released(JobRelease("shutdown"), None, self.features), now)
        else:
            self._events.append(Assigned(job.id, fields))

    def stop(self, job_id: str, reason: Reason) -> None:
        """Have the job given back, if the server understands that."""
        job = self.held.get(job_id)
        if job is not None and not job.over and job.stopping is None and self.can_release:
            job.stopping = reason
            self._events.append(StopRequested(job_id, reason))

    def take_back(self, job_id: str, now: float) -> None:
        """Give the job back in the name of the crawler's code, which does not or has not begun."""
        job = self.held.running(job_id)
        self._end(job, released(JobRelease("shutdown"), job.cursor, self.features), now)
        self._events.append(Lost(job_id, _GIVEN_BACK, ()))

    def lose(self, job_id: str, problem: JobGone) -> None:
        """The job is no longer this crawler's."""
        tickets = self._outbox.drop(job_id)
        if self.held.forget(job_id) is not None:
            self._events.append(Lost(job_id, problem, tickets))

    def stale(self, job_id: str, ref: str, problem: JobGone) -> None:
        """The message *ref* is refused because the job is no longer this crawler's.

        If the job's end was reported behind it, and stored before, so was the message: the answer to the end, which
        is repeated in that case, will tell.
        """
        pending = self._outbox.get(ref)
        if pending is None or not self._outbox.put_off(pending):
            self.lose(job_id, problem)

    def acknowledged(self, ref: str) -> None:
        """The message *ref* is stored."""
        pending = self._outbox.get(ref)
        if pending is not None and pending.kind != TOKEN_REQUEST:  # which a token alone answers
            self._settle(pending)

    def token_came(self, job_id: str, data: Mapping[str, Any]) -> None:
        """The answer to the job's request for a token."""
        pending = self._outbox.token_request(job_id)
        if pending is None:
            return
        token = data.get("accessToken")
        good = isinstance(token, str) and bool(token and data.get("refreshSuccessful"))
        problem = TokenRefused("no new token for this job's account", cause="credential")
        for ticket in self._outbox.answer(pending):
            self._events.append(Answered(ticket, job_id, token) if good else Refused(ticket, problem))
        self._forget_if_over(job_id)

    def refused(self, ref: str, problem: ReportRefused, now: float) -> None:
        """The message *ref* is refused. A job whose completion or release was is reported as failed.

        (A release is refused by an older node, to which the crawler has reconnected in the meantime.)
        """
        pending = self._outbox.get(ref)
        if pending is None:
            return
        self._events.extend(Refused(ticket, problem) for ticket in self._outbox.refuse(pending))
        job = self.held.get(pending.job)
        if job is not None and pending.kind in ("job_completed", "job_released"):
            self._report_refusal(job, pending.kind, problem, now)
        self._forget_if_over(pending.job)

    def _report_refusal(self, job: Assignment, kind: str, problem: ReportRefused, now: float) -> None:
        failure, data = failed(JobFailure(f"{kind} was refused: {problem}"[:500]), frozenset())
        self._report(job, failure, [{**data, "errorType": type(problem).__name__}], now)

    def _settle(self, pending: Pending) -> None:
        self._events.extend(Answered(ticket, pending.job) for ticket in self._outbox.answer(pending))
        self._forget_if_over(pending.job)

    def _forget_if_over(self, job_id: str) -> None:
        job = self.held.get(job_id)
        if job is not None and job.over and not any(each.job == job_id for each in self._outbox):
            self.held.forget(job_id)
