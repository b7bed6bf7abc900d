"""A crawler as a service: it connects, requests jobs, runs a handler for each and reports on it."""

import random
from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.internet import ClientService, backoffPolicy
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.client.connecting import Connecting
from copilot_socket.client.connection import Connection, ConnectionFactory
from copilot_socket.client.job import Job
from copilot_socket.client.messages import JOB_IS_GONE, Hello, Message, encode
from copilot_socket.client.outbox import Outbox, Pending
from copilot_socket.client.problems import JobGone, ReportRefused
from copilot_socket.client.runs import Handler, Runs

__all__ = ["Crawler", "Handler"]

GIVE_BACK_WITHIN = 5.0
"""Seconds in which a stopping crawler gives its jobs back: handlers end, and the server acknowledges."""
DEFAULT_BACKOFF = backoffPolicy(initialDelay=0.1, maxDelay=10.0, factor=2.0, jitter=lambda: random.uniform(0.0, 0.4))
"""Seconds before the next attempt to connect, by the number of failed attempts."""


class Crawler(Service):
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
        backoff: Callable[[int], float] = DEFAULT_BACKOFF,
    ) -> None:
        self.hello = hello
        self.finished: Deferred[None] = Deferred()
        self.features: frozenset[str] = frozenset()
        """What the server understands beyond the first edition of the protocol."""
        self._reactor = reactor
        self._connection: Connection | None = None
        self._limit = 1024 * 1024
        self._granted = hello.max_jobs
        """The number of jobs that the server allows this crawler to hold."""
        self._finishing = False
        self._outbox = Outbox()
        self._runs = Runs(handler, self, self._on_room, reactor)
        self._connecting = Connecting(endpoint, backoff)
        factory = ConnectionFactory(self, reactor)
        self._client = ClientService(self._connecting, factory, self._connecting.delay, reactor)

    @classmethod
    def at(cls, path: str, handler: Handler, hello: Hello, reactor: Any) -> "Crawler":
        """A crawler of the server that listens on the UNIX socket *path*."""
        endpoint = UNIXClientEndpoint(reactor, path)
        return cls(endpoint, handler, hello, reactor)

    def startService(self) -> None:
        """Connect, and stay connected."""
        super().startService()
        self._client.startService()

    def stopService(self) -> "Deferred[None]":
        """Cancel the handlers, give their jobs back and disconnect; fires when stopped.

        Jobs that are not given back within :data:`GIVE_BACK_WITHIN` seconds are released by the server. Neither
        spends an attempt.
        """
        return self._stop(GIVE_BACK_WITHIN)

    def finish(self, timeout: float | None = None) -> "Deferred[None]":
        """Request no more jobs, wait for the running ones, then stop; fires when stopped.

        Jobs that would not be over within *timeout* seconds are given back before.
        """
        self._finishing = True
        if not self._busy:
            return self._disconnect()
        if timeout is not None:
            patience = min(GIVE_BACK_WITHIN, timeout / 2)
            self._unless_finished(timeout - patience, self._stop, patience)
        return self._when_finished()

    @property
    def _busy(self) -> bool:
        """Whether a handler runs or an answer is outstanding."""
        return self._runs.active > 0 or len(self._outbox) > 0

    def _stop(self, patience: float) -> "Deferred[None]":
        """Give the jobs back for at most *patience* seconds, then disconnect."""
        super().stopService()
        self._finishing = True
        if patience > 0 and self._client.running and self._runs.can_release and self._ready is not None:
            self._runs.release_all("shutdown")
            if self._busy:
                self._unless_finished(patience, self._disconnect)
                return self._when_finished()
        return self._disconnect()

    def _disconnect(self) -> "Deferred[None]":
        super().stopService()
        self._finishing = True
        if self.finished.called:
            return succeed(None)
        self._runs.end_all()
        stopped: Deferred[None] = self._client.stopService()
        return stopped.addBoth(self._fire_finished)

    def _unless_finished(self, seconds: float, function: Callable[..., object], *arguments: object) -> None:
        late = self._reactor.callLater(seconds, function, *arguments)
        self.finished.addBoth(lambda _: late.cancel() if late.active() else None)

    def _when_finished(self) -> "Deferred[None]":
        done: Deferred[None] = Deferred()
        self.finished.addBoth(lambda _: done.callback(None))
        return done

    # Called by jobs.

    def report(self, job: Job, kind: str, data: Mapping[str, Any]) -> "Deferred[Mapping[str, Any]]":
        """See :class:`copilot_socket.client.job.Reporter`."""
        pending = self._outbox.add(kind, job.id, data)
        answered = pending.answered
        if not self._runs.holds(job):
            self._outbox.refuse(
                pending.ref, JobGone("stale_assignment", "the job is no longer assigned to this crawler")
            )
        elif len(pending.line) > self._limit:
            text = f"the server accepts no message longer than {self._limit} bytes"
            self._outbox.refuse(pending.ref, ReportRefused("message_too_large", text))
        else:
            self._deliver(pending)
        return answered

    def rate_limit(self, job: Job, data: Mapping[str, Any]) -> None:
        """See :class:`copilot_socket.client.job.Reporter`."""
        if "rate_limit" in self.features:
            self._runs.rate_limit(job, data)

    def tell(self, job: Job, kind: str, data: Mapping[str, Any]) -> None:
        """See :class:`copilot_socket.client.runs.Sender`."""
        connection = self._ready
        if connection is not None:
            connection.send(encode(kind, data, job=job.id))

    @property
    def _ready(self) -> Connection | None:
        """The connection over which reports and requests can be sent now, if there is one."""
        return self._connection if self._connection is not None and self._connection.ready else None

    def _deliver(self, pending: Pending) -> None:
        """Send now if there is a connection; otherwise it is sent when the next one is welcomed."""
        connection = self._ready
        if connection is None:
            return
        connection.send(pending.line)
        if "ack" not in self.hello.capabilities:
            self._outbox.acknowledge(pending.ref)

    def _send(self, kind: str, data: Mapping[str, Any]) -> None:
        if self._connection is not None:
            self._connection.send(encode(kind, data))

    # Called by the connection.

    def connected(self, connection: Connection) -> None:
        """Send ``hello`` with the assignments that run, or whose last report is not acknowledged yet."""
        self._connection = connection
        self._send("hello", self.hello.data(sorted(self._runs.ids())))

    def disconnected(self, connection: Connection, reason: Failure) -> None:
        """Handlers go on; their reports wait for the next connection."""
        if not connection.welcomed and not self._finishing:
            self.log.warn("Connection lost before the server's welcome: {why}", why=reason.getErrorMessage())
        if self._connection is connection:
            self._connection = None

    def beat(self, connection: Connection) -> None:
        """Send a heartbeat."""
        data = {
            "activeJobs": self._runs.active,
            "totalProcessed": self._runs.processed,
            "systemStatus": self._runs.status,
        }
        self._send("heartbeat", data)

    def received(self, connection: Connection, message: Message) -> None:
        """Dispatch *message*; unknown types are ignored."""
        receive = self._RECEIVERS.get(message["type"])
        if receive is not None:
            receive(self, message)

    def _welcomed(self, message: Message) -> None:
        data, connection = message["data"], self._connection
        if connection is None:
            return
        connection.welcomed = True
        self._connecting.welcomed()
        self.features = frozenset(data.get("features") or ())
        self._limit = data.get("maxMessageSize") or self._limit
        self._granted = min(data.get("maxConcurrentJobs") or self.hello.max_jobs, self.hello.max_jobs)
        connection.start_beating((data.get("heartbeatInterval") or 30_000) / 1000)
        for pending in self._outbox:
            self._deliver(pending)
        self._on_room()

    def _given(self, message: Message) -> None:
        jobs = message["data"].get("jobs") or []
        for data in jobs:
            try:
                job = Job.read(data, self)
            except (KeyError, TypeError):
                self.log.warn("The server sent an invalid job with the fields {names}", names=sorted(data))
                continue
            # A request can't be withdrawn: a job may still come for the last one.
            if self._finishing and self._runs.can_release:
                self._runs.decline(job, "shutdown")
            else:
                self._runs.start(job)
        if jobs:
            # A response with jobs settles the pending request; a new one covers the remaining room.
            self._request_jobs()

    def _acknowledged(self, message: Message) -> None:
        self._outbox.acknowledge(str(message["data"].get("ref")))
        self._leave_if_done()

    def _token_came(self, message: Message) -> None:
        self._outbox.give_token(str(message.get("jobId")), message["data"])

    def _refused(self, message: Message) -> None:
        data = message["data"]
        code, text = str(data.get("code")), str(data.get("message"))
        self.log.warn("The server reports {code}: {text}", code=code, text=text)
        if code in JOB_IS_GONE and isinstance(message.get("jobId"), str):
            self._lose(message["jobId"])
        else:
            self._outbox.refuse(str(data.get("ref")), ReportRefused(code, text))
        if self._connection is not None and not self._connection.welcomed:
            # The hello was refused: retry on a new connection, after the back-off.
            self._connection.close()
        self._leave_if_done()

    def _lose(self, job: str) -> None:
        """The job is no longer this crawler's."""
        self._outbox.drop(job)
        self._runs.end(job)

    def _cancelled(self, message: Message) -> None:
        self._lose(str(message.get("jobId")))
        self._leave_if_done()

    def _paused(self, message: Message) -> None:
        self._runs.release(str(message.get("jobId")), "paused")

    def _shut_down(self, message: Message) -> None:
        data = message["data"]
        seconds = data.get("timeout_seconds")
        timeout = float(seconds) if isinstance(seconds, int | float) else 0.0
        if data.get("scope") == "crawler":
            self.finish(timeout) if data.get("graceful") else self._disconnect()
        elif self._connection is not None:
            # The node stops: it still acknowledges what it has committed, within the timeout.
            self._connection.leave(timeout)

    _RECEIVERS: Mapping[str, "Callable[[Crawler, Message], None]"] = {
        "welcome": _welcomed,
        "job_response": _given,
        "ack": _acknowledged,
        "token_refresh_response": _token_came,
        "error": _refused,
        "job_cancel": _cancelled,
        "job_pause": _paused,
        "shutdown": _shut_down,
    }

    def _on_room(self) -> None:
        self._request_jobs()
        self._leave_if_done()

    def _request_jobs(self) -> None:
        room = self._granted - self._runs.active
        if room > 0 and not self._finishing and self._ready is not None:
            self._send("job_request", {"limit": room})

    def _leave_if_done(self) -> None:
        if self._finishing and self._client.running and not self._busy:
            self._disconnect()

    def _fire_finished(self, result: object) -> "Deferred[None]":
        if not self.finished.called:
            self.finished.callback(None)
        return succeed(None)
