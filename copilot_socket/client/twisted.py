"""The client for Twisted programs: a crawler as a service, which runs one coroutine for each job.

    from twisted.internet import reactor
    from copilot_socket.client.twisted import Crawler, Hello, Job

    async def crawl(job: Job) -> dict[str, int]:
        seen = await fetch_and_save(job.gitlab_url, job.access_token, job.entity_id)
        await job.progress(seen)
        return {job.entity_type: seen}

    crawler = Crawler.at("/var/run/copilot-study/crawler.sock", crawl, Hello(max_jobs=2), reactor)
    crawler.startService()
    crawler.finished.addCallback(lambda _: reactor.stop())  # when the server has requested an exit
    reactor.run()

What the handler returns are the job's final counts; what it raises becomes its failure or release. When a job is
cancelled or paused, or the crawler stops, its handler is cancelled.
"""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.client.addresses import TCP, TLS, Address
from copilot_socket.client.connection import backoff as default_backoff
from copilot_socket.client.hello import Hello
from copilot_socket.client.job import BaseJob, DiscoveredJob
from copilot_socket.client.problems import (
    JobFailure,
    JobGone,
    JobRelease,
    ReportRefused,
    TokenRefused,
    unexpected,
)
from copilot_socket.client.session import GIVE_BACK_WITHIN, Session
from copilot_socket.client.shell import Shell
from copilot_socket.client.twisted_connecting import Wire, WireFactory, endpoint_of

__all__ = [
    "TCP",
    "TLS",
    "Crawler",
    "DiscoveredJob",
    "Handler",
    "Hello",
    "Job",
    "JobFailure",
    "JobGone",
    "JobRelease",
    "ReportRefused",
    "TokenRefused",
]


class Job(BaseJob["Deferred[None]", "Deferred[str]"]):
    """A job whose methods return Deferreds, which fire when the server has stored what they report."""

    running: "Deferred[None] | None" = None
    """Its handler, once that waits."""

    def interrupt(self) -> None:
        """Cancel the handler."""
        if self.running is not None:
            self.running.cancel()


Handler = Callable[[Job], Coroutine["Deferred[Any]", Any, Mapping[str, float] | None]]
"""Crawls one job and returns its final counts."""


class Crawler(Service, Shell):
    """Crawls for a server until it is stopped or the server requests an exit.

    *handler* is a coroutine function called with each :class:`Job`. ``finished`` fires with None when the service has
    stopped: after :meth:`stopService`, or once the work is done after :meth:`finish` or the server's request to exit.
    """

    log = Logger()

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        handler: Handler,
        hello: Hello,
        reactor: Any,
        backoff: Callable[[int], float] = default_backoff,
        give_back_within: float = GIVE_BACK_WITHIN,
    ) -> None:
        Shell.__init__(self, Session(hello, backoff=backoff, give_back_within=give_back_within))
        self.session.demand = hello.max_jobs
        self.finished: Deferred[None] = Deferred()
        self._endpoint = endpoint
        self._handler = handler
        self._reactor = reactor
        self._wire: Wire | None = None
        self._connecting: Deferred[Any] | None = None
        self._timer: IDelayedCall | None = None

    @classmethod
    def at(cls, address: Address, handler: Handler, hello: Hello, reactor: Any, **more: Any) -> "Crawler":
        """A crawler of the server at *address*: the path of a UNIX socket, :class:`TCP` or :class:`TLS`."""
        return cls(endpoint_of(reactor, address), handler, hello, reactor, **more)

    def startService(self) -> None:
        """Connect, and stay connected."""
        super().startService()
        self.call(self.session.start)

    def stopService(self) -> "Deferred[None]":
        """Cancel the handlers, give their jobs back and disconnect; fires when stopped.

        Jobs whose handlers don't end in time are given back all the same; if there is no connection, the server
        releases them. Neither spends an attempt.
        """
        super().stopService()
        return self._end(self.session.stop)

    def finish(self, timeout: float | None = None) -> "Deferred[None]":
        """Request no more jobs, wait for the running ones, then stop; fires when stopped.

        Jobs that would not be over within *timeout* seconds are given back before.
        """
        return self._end(lambda now: self.session.finish(now, timeout))

    def abort(self) -> "Deferred[None]":
        """Cancel the handlers and disconnect, without a report; fires when stopped."""
        return self._end(self.session.abort)

    def _end(self, how: Callable[[float], None]) -> "Deferred[None]":
        done: Deferred[None] = Deferred()
        self.finished.addBoth(lambda _: done.callback(None))
        self.call(how)
        return done

    # -- called by connections

    def connection_made(self, wire: Wire) -> None:
        """*wire* is open."""
        self._wire = wire
        self.call(self.session.connection_made)

    def received(self, data: bytes) -> None:
        """The server has sent *data*."""
        self.call(self.session.receive, data)

    def connection_lost(self, reason: Failure) -> None:
        """The connection has ended, or was not made."""
        self._wire = None
        self.call(self.session.connection_lost, reason.getErrorMessage())

    # -- see Shell

    def now(self) -> float:
        """The reactor's time."""
        now: float = self._reactor.seconds()
        return now

    def call_at(self, deadline: float | None) -> None:
        """Set the timer."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if deadline is not None:
            self._timer = self._reactor.callLater(max(0.0, deadline - self.now()), self.obey)

    def connect(self) -> None:
        """Connect by the endpoint."""
        self._connecting = maybeDeferred(self._endpoint.connect, WireFactory(self))
        self._connecting.addErrback(self.connection_lost)
        self._connecting.addErrback(lambda failure: self.log.failure("The crawler failed", failure))

    def disconnect(self, abort: bool) -> None:
        """Close the connection, or cancel the attempt to connect."""
        transport: Any = None if self._wire is None else self._wire.transport
        if transport is not None:
            transport.abortConnection() if abort else transport.loseConnection()
        elif self._connecting is not None:
            self._connecting.cancel()

    def write(self, data: bytes) -> None:
        """Write to the transport."""
        if self._wire is not None and self._wire.transport is not None:
            self._wire.transport.write(data)

    def make_job(self, fields: Mapping[str, Any]) -> Job:
        """The job with these *fields*."""
        job: Job = Job.read(fields, self)
        return job

    def take(self, job: Job) -> None:
        """Run the handler."""
        running = Deferred.fromCoroutine(self._run(job))
        if not running.called:
            job.running = running
        running.addErrback(lambda failure: self.log.failure("A run failed unexpectedly", failure))

    async def _run(self, job: Job) -> None:
        self.session.jobs.begin(job.id, self.now())
        try:
            counts = await self._handler(job)
        except Exception as error:
            problem: Exception | None = error
        else:
            problem = None
        job.running = None
        if problem is not None:
            self._log_problem(job, problem)
        if not job.over and not job.cancelled:
            how = self.session.jobs.complete if problem is None else self.session.jobs.raised
            self.end(job, how, counts if problem is None else problem).addErrback(Failure.trap, ReportRefused)

    def _log_problem(self, job: Job, problem: Exception) -> None:
        if job.over or job.cancelled or job.stopping is not None:
            # The cancellation has caused it, whatever it is: HTTP clients, for instance, raise errors of their own.
            self.log.debug("The handler of {job} has stopped: {problem!r}", job=job.id, problem=problem)
        elif unexpected(problem) and not isinstance(problem, CancelledError):
            self.log.failure("The handler of {job} failed", Failure(problem), job=job.id)

    def make_waiter(self) -> "Deferred[Any]":
        """A Deferred."""
        return Deferred()

    def settle(self, waiter: "Deferred[Any]", result: Any, quietly: bool = False) -> None:
        """Fire the Deferred, unless it was cancelled."""
        if not waiter.called:
            waiter.errback(result) if isinstance(result, Exception) else waiter.callback(result)
            if quietly:
                waiter.addErrback(lambda _: None)

    def warn(self, text: str) -> None:
        """Write to Twisted's log."""
        self.log.warn("{text}", text=text)

    def stopped(self) -> None:
        """Fire ``finished``."""
        if not self.finished.called:
            self.finished.callback(None)
