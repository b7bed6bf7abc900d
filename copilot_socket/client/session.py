"""The protocol core: a crawler's side of the wire without I/O, reactor or clock.

A shell gives it what it reads, the time, and the calls of the crawler's code (to :attr:`Session.jobs`). After each of
these it obeys the events of :meth:`Session.next_event` until there is none, writes :meth:`Session.output`, and does
the same again at :attr:`Session.deadline`. Every *now* is a monotonic time in seconds.
"""

from collections.abc import Callable, Mapping
from typing import Any

from copilot_socket.client import connection as connections
from copilot_socket.client import messages
from copilot_socket.client.connection import Connection, Phase, TooLong
from copilot_socket.client.events import Assigned, Connect, Disconnect, Event, Finished, Warned
from copilot_socket.client.hello import Hello
from copilot_socket.client.jobs import NEEDED, Jobs
from copilot_socket.client.messages import JOB_IS_GONE, Message, encode
from copilot_socket.client.problems import JobGone, ReportRefused

GIVE_BACK_WITHIN = 5.0
"""Seconds in which a stopping crawler gives its jobs back: its code ends them, and the server acknowledges."""
_OWN_SHARE = 0.7
"""Part of that time after which jobs that the crawler's code still holds are given back in its name."""
_MOST = 1024 * 1024
_STOPPED = JobGone("stale_assignment", "the crawler has stopped")


class Session:
    """A crawler's connection, jobs and unanswered reports.

    *backoff* takes the number of failed attempts to connect and returns seconds; *timestamp* returns the time of day
    for messages; *give_back_within* is in seconds. ``demand``: how many jobs the crawler's code waits for.
    """

    def __init__(
        self,
        hello: Hello,
        *,
        backoff: Callable[[int], float] = connections.backoff,
        timestamp: Callable[[], str] = messages.timestamp,
        give_back_within: float = GIVE_BACK_WITHIN,
    ) -> None:
        self.hello = hello
        self.demand = 0
        self.finished = False
        self.finishing = False
        """Whether no further job is accepted."""
        self._events: list[Event] = []
        self._connection = Connection(backoff)
        self.jobs = Jobs(self._connection, self._events, "ack" in hello.capabilities, timestamp, _MOST)
        self._timestamp = timestamp
        self._patience = give_back_within
        self._granted = hello.max_jobs
        """Jobs that the server allows this crawler to hold."""
        self._requested = 0
        """The limit of the request that waits at the server."""
        self._give_back_at: float | None = None
        self._take_back_at: float | None = None
        self._end_at: float | None = None

    # -- what the shell takes

    @property
    def features(self) -> frozenset[str]:
        """What the server understands beyond the first edition of the protocol."""
        return self.jobs.features

    @property
    def deadline(self) -> float | None:
        """When something is due; None: when something has happened."""
        own = (self._give_back_at, self._take_back_at, self._end_at)
        times = (self._connection.deadline, self.jobs.deadline, *own)
        return min((each for each in times if each is not None), default=None)

    def output(self) -> bytes:
        """What is to be written to the connection."""
        return self._connection.output()

    def next_event(self, now: float) -> Event | None:
        """What the shell is to do next; None: nothing at present."""
        if not self._events:
            self._tick(now)
        while self._events:
            event = self._events.pop(0)
            if not isinstance(event, Assigned) or self.jobs.held.runs(event.job_id):
                return event
        return None

    # -- the connection

    def start(self, now: float) -> None:
        """Connect, and stay connected."""
        self._connection.connect_at = now

    def connection_made(self, now: float) -> None:
        """A connection is open: say ``hello``, with the assignments whose last report is not acknowledged yet."""
        if self._connection.phase is Phase.CONNECTING:
            self._connection.made()
            self._requested = 0
            held = sorted(each.id for each in self.jobs.held)
            self._send("hello", self.hello.data(held), now)
        else:
            self._events.append(Disconnect(abort=True))

    def connection_lost(self, why: str, now: float) -> None:
        """The connection has ended, or was not made. Jobs go on; their reports wait for the next one."""
        if self._connection.phase is Phase.CONNECTING:
            self._events.append(Warned(f"Can't connect: {why}"))
        elif self._connection.phase is Phase.GREETED:
            self._events.append(Warned(f"Connection lost before the server's welcome: {why}"))
        self._connection.lost(now, again=not self.finished)
        if self.finished:
            self._events.append(Finished())

    def receive(self, data: bytes, now: float) -> None:
        """The server has sent *data*."""
        if self._connection.phase is Phase.CLOSING:
            return
        try:
            for message in self._connection.receive(data):
                if isinstance(message, bytes):
                    self._events.append(Warned(f"The server sent an invalid message: {message[:200]!r}"))
                elif message["type"] in self._RECEIVERS:
                    self._RECEIVERS[message["type"]](self, message, now)
        except TooLong:
            self._hang_up("The server sent a message that is too long", now)

    def _tick(self, now: float) -> None:
        """Do what is due."""
        connection = self._connection
        if connection.connect_at is not None and now >= connection.connect_at:
            connection.connect_at, connection.phase = None, Phase.CONNECTING
            self._events.append(Connect())
        if connection.beat_at is not None and now >= connection.beat_at:
            self._beat(now)
        if connection.close_at is not None and now >= connection.close_at:
            self._close(now, abort=connection.phase is Phase.CLOSING)
        if connection.silent(now):
            self._hang_up("The server has stopped answering", now)
        self.jobs.tick(now)
        self._request(now)
        if self.finishing and not self.finished:
            self._stop_in_steps(now)

    def _hang_up(self, why: str, now: float) -> None:
        self._events.append(Warned(why))
        self._close(now, abort=True)

    def _close(self, now: float, abort: bool = False) -> None:
        self._connection.close(now)
        self._events.append(Disconnect(abort))

    def _beat(self, now: float) -> None:
        held = self.jobs.held
        data = {"activeJobs": held.active, "totalProcessed": held.processed, "systemStatus": held.status}
        self._send("heartbeat", data, now, answered="ack" in self.hello.capabilities)
        self._connection.beaten(now)

    def _send(self, kind: str, data: Mapping[str, Any], now: float, answered: bool = True) -> None:
        line = encode(kind, data, self._timestamp())
        self._connection.ask(line, now) if answered else self._connection.send(line)

    def _request(self, now: float) -> None:
        """Request jobs, as many as the crawler's code waits for and the server allows."""
        held = self.jobs.held
        limit = min(self.demand - held.waiting, self._granted - held.active)
        if limit > self._requested and not self.finishing and self._connection.phase is Phase.READY:
            self._requested = limit
            self._send("job_request", {"limit": limit}, now)

    # -- the end

    def finish(self, now: float, timeout: float | None = None) -> None:
        """Request no more jobs, and stop when those that run are over, or given back within *timeout* seconds."""
        self.finishing = True
        self._decline(now)
        if timeout is not None and not self.finished:
            self._patience = min(self._patience, timeout / 2)
            self._give_back_at = now + timeout - self._patience

    def stop(self, now: float) -> None:
        """Have all jobs given back, then stop."""
        self.finishing = True
        if self._end_at is None and not self.finished:
            self._give_back_at = now

    def abort(self, now: float) -> None:
        """Stop at once. Jobs that are held are lost."""
        if self.finished:
            return
        self.finishing = self.finished = True
        self._give_back_at = self._take_back_at = self._end_at = None
        for job in self.jobs.held:
            self.jobs.lose(job.id, _STOPPED)
        if self._connection.phase is Phase.DOWN:
            self._connection.connect_at = None
            self._events.append(Finished())
        else:
            self._close(now)

    def _stop_in_steps(self, now: float) -> None:
        if self._give_back_at is not None and now >= self._give_back_at:
            self._give_back(now)
        if self._take_back_at is not None and now >= self._take_back_at:
            self._take_back_at = None
            for job in self.jobs.held:
                if not job.over:
                    self.jobs.take_back(job.id, now)
        if not self.jobs.busy or (self._end_at is not None and now >= self._end_at):
            self.abort(now)

    def _decline(self, now: float) -> None:
        """Give back the jobs that nobody has begun."""
        for job in self.jobs.held:
            if self.jobs.can_release and not job.started and not job.over:
                self.jobs.take_back(job.id, now)

    def _give_back(self, now: float) -> None:
        self._give_back_at = None
        if self._connection.phase is not Phase.READY or not self.jobs.can_release or self._patience <= 0:
            self._end_at = now
            return
        self._take_back_at = now + self._patience * _OWN_SHARE
        self._end_at = now + self._patience
        self._decline(now)
        for job in self.jobs.held:
            self.jobs.stop(job.id, "shutdown")

    # -- what the server sends

    def _welcomed(self, message: Message, now: float) -> None:
        data = message["data"]
        if self._connection.phase is not Phase.GREETED:
            return
        self.jobs.features = frozenset(data.get("features") or ())
        self.jobs.most = data.get("maxMessageSize") or _MOST
        self._granted = min(data.get("maxConcurrentJobs") or self.hello.max_jobs, self.hello.max_jobs)
        self._connection.welcomed((data.get("heartbeatInterval") or 30_000) / 1000, now)
        self.jobs.resend(now)

    def _given(self, message: Message, now: float) -> None:
        jobs = message["data"].get("jobs") or []
        if jobs:
            self._requested = 0  # settled: a new one covers the remaining room
        for fields in jobs:
            if isinstance(fields, dict) and all(isinstance(fields.get(name), str) for name in NEEDED):
                # A request can't be withdrawn: a job may still come for the last one.
                self.jobs.add(fields, self.finishing and self.jobs.can_release, now)
            else:
                self._events.append(Warned("The server sent an invalid job"))

    def _acknowledged(self, message: Message, _now: float) -> None:
        self.jobs.acknowledged(str(message["data"].get("ref")))

    def _token_came(self, message: Message, _now: float) -> None:
        self.jobs.token_came(str(message.get("jobId")), message["data"])

    def _refused(self, message: Message, now: float) -> None:
        data, job_id = message["data"], message.get("jobId")
        code, text = str(data.get("code")), str(data.get("message"))
        self._events.append(Warned(f"The server reports {code}: {text}"))
        if code == "rate_limited":
            return  # a notice: nothing is refused
        if code in JOB_IS_GONE and isinstance(job_id, str):
            self.jobs.stale(job_id, str(data.get("ref")), JobGone(code, text))
        else:
            self.jobs.refused(str(data.get("ref")), ReportRefused(code, text), now)
        if self._connection.phase is Phase.GREETED:
            self._close(now)  # the hello was refused: try again on a new connection, after the back-off

    def _cancelled(self, message: Message, _now: float) -> None:
        why = message["data"].get("reason") or "the server has ended the attempt"
        self.jobs.lose(str(message.get("jobId")), JobGone("cancelled", str(why)))

    def _paused(self, message: Message, _now: float) -> None:
        self.jobs.stop(str(message.get("jobId")), "paused")

    def _shut_down(self, message: Message, now: float) -> None:
        data = message["data"]
        seconds = data.get("timeout_seconds")
        timeout = float(seconds) if isinstance(seconds, int | float) else 0.0
        if data.get("scope") == "crawler":
            self.finish(now, timeout) if data.get("graceful") else self.abort(now)
        else:
            # The node stops: it still acknowledges what it has committed, within the timeout.
            self._connection.leave(timeout, now)

    _RECEIVERS: Mapping[str, "Callable[[Session, Message, float], None]"] = {
        "welcome": _welcomed,
        "job_response": _given,
        "ack": _acknowledged,
        "token_refresh_response": _token_came,
        "error": _refused,
        "job_cancel": _cancelled,
        "job_pause": _paused,
        "shutdown": _shut_down,
    }
