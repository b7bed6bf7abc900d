"""A crawler for tests, on a real UNIX socket: sends messages on request, and keeps those that it receives."""

import itertools
import json
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

reactor: Any = _reactor
Message = dict[str, Any]

PATIENCE = 60.0
"""Seconds after which a wait of a test fails."""
LOOK = 0.01
"""Seconds between two checks of a polled condition."""


class Waited(AssertionError):
    """A wait has timed out; the message describes what was there instead."""


async def until(
    holds: Callable[[], Any | Awaitable[Any]], what: str = "the condition holds", patience: float = PATIENCE
) -> Any:
    """Call *holds* (a function or a coroutine function) until its result is true; return that result.

    Raises :class:`Waited` after *patience* seconds.
    """
    end = reactor.seconds() + patience
    while True:
        found = holds()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        if reactor.seconds() > end:
            raise Waited(f"waited {patience:g} s in vain until {what}; the last look gave {found!r}")
        await deferLater(reactor, LOOK)


_CANCELLED = 30.0
"""Seconds for a test that has taken too long to end."""


def in_reactor(patience: float = 180.0) -> Callable[[Any], Any]:
    """Have trial run a coroutine test, for *patience* seconds at most."""

    def decorate(test: Callable[[Any], Coroutine[Any, Any, None]]) -> Any:
        def wrapper(self: Any) -> "Deferred[None]":
            return Deferred.fromCoroutine(test(self)).addTimeout(patience, reactor)

        wrapper.__doc__, wrapper.__name__ = test.__doc__, test.__name__
        # By itself trial waits for 120 s, and then goes on to the next test beside this one.
        wrapper.timeout = patience + _CANCELLED  # type: ignore[attr-defined]
        return wrapper

    return decorate


class TestCrawler(Protocol):
    """One connection. A crawler that sends ``hello`` may have several."""

    __test__ = False

    def __init__(self, name: str = "plain") -> None:
        self.name = name
        self.received: list[Message] = []
        """All messages received, in order."""
        self.closed: Deferred[None] = Deferred()
        """Fires when the connection is closed, by whichever side."""
        self.open = False
        self._ids = itertools.count(1)
        self._unread: deque[Message] = deque()
        self._waiting: list[tuple[Callable[[Message], bool], Deferred[Message]]] = []
        self._buffer = b""

    @classmethod
    async def connect(cls, path: str, name: str = "plain") -> "TestCrawler":
        """A new connection to the UNIX socket *path*."""
        return await cls.over(UNIXClientEndpoint(reactor, path), name)

    @classmethod
    async def over(cls, endpoint: IStreamClientEndpoint, name: str = "plain") -> "TestCrawler":
        """A new connection over *endpoint*."""
        crawler = cls(name)
        await connectProtocol(endpoint, crawler)
        return crawler

    # -- to the server

    def raw(self, data: bytes) -> None:
        """Send *data* unchanged."""
        assert self.transport is not None
        self.transport.write(data)

    def say(self, kind: str, job: str | None = None, **data: Any) -> str:
        """Send a message of type *kind* and return its ``id``, which acks and errors carry as ``ref``."""
        ref = f"{self.name}-{next(self._ids)}"
        message: Message = {"type": kind, "timestamp": "2026-01-01T00:00:00.000Z", "id": ref, "data": data}
        if job is not None:
            message["jobId"] = job
        self.raw(json.dumps(message).encode() + b"\n")
        return ref

    async def hello(self, *capabilities: str, crawler_id: str | None = None, **more: Any) -> Message:
        """Send ``hello`` and return the ``welcome``; by default with the capabilities ``ack`` and ``commands``."""
        self.say(
            "hello",
            crawlerId=crawler_id or self.name,
            capabilities=list(capabilities or ("ack", "commands")),
            **more,
        )
        return await self.expect("welcome")

    async def told(self, kind: str, job: str | None = None, **data: Any) -> Message:
        """Send a message and return the ``ack`` or ``error`` for it. Needs the capability ``ack``."""
        return await self.answer(self.say(kind, job, **data))

    async def take_job(self, limit: int = 1) -> Message:
        """Request jobs, wait for some, and return the first one."""
        self.say("job_request", limit=limit)
        return await self.job()

    def progress(self, job: str, processed: int, **more: Any) -> str:
        """Send ``job_progress``."""
        fields = {"stage": "fetching", "entityType": "issue", "processed": processed, **more}
        return self.say("job_progress", job, **fields)

    def complete(self, job: str) -> str:
        """Send ``job_completed``."""
        return self.say("job_completed", job, success=True, finalCounts={"issue": 1})

    def heartbeat(self) -> str:
        """Send ``heartbeat``."""
        return self.say("heartbeat", activeJobs=0, totalProcessed=0, systemStatus="idle")

    def hang_up(self) -> "Deferred[None]":
        """Abort the connection; fires when it is closed."""
        if self.open:
            assert self.transport is not None
            self.transport.abortConnection()  # type: ignore[attr-defined]
        return self.closed

    # -- from the server

    def expect(self, kind: str, patience: float = PATIENCE) -> "Deferred[Message]":
        """The next message of type *kind*; messages of other types are kept."""
        return self._next(lambda message: message["type"] == kind, kind, patience)

    def answer(self, ref: str, patience: float = PATIENCE) -> "Deferred[Message]":
        """The ``ack`` or ``error`` for the message with the id *ref*."""
        return self._next(
            lambda message: message["type"] in ("ack", "error") and message["data"].get("ref") == ref,
            f"an answer to {ref}",
            patience,
        )

    async def job(self, patience: float = PATIENCE) -> Message:
        """The first job of the next ``job_response`` with jobs; earlier ones without are dropped."""
        found = await self._next(
            lambda message: message["type"] == "job_response" and bool(message["data"]["jobs"]), "a job", patience
        )
        for empty in [each for each in self._unread if each["type"] == "job_response" and not each["data"]["jobs"]]:
            self._unread.remove(empty)
        job: Message = found["data"]["jobs"][0]
        return job

    def of_type(self, kind: str) -> list[Message]:
        """All messages of type *kind* received."""
        return [message for message in self.received if message["type"] == kind]

    def jobs(self) -> list[str]:
        """The ids of all assignments received."""
        return [job["id"] for message in self.of_type("job_response") for job in message["data"]["jobs"]]

    def _next(self, fits: Callable[[Message], bool], what: str, patience: float = PATIENCE) -> "Deferred[Message]":
        for message in self._unread:
            if fits(message):
                self._unread.remove(message)
                d: Deferred[Message] = Deferred()
                d.callback(message)
                return d
        d = Deferred()
        entry = (fits, d)
        self._waiting.append(entry)

        def late(_result: Any, seconds: float) -> Any:
            self._waiting.remove(entry)
            raise Waited(f"{self.name} waited {seconds:g} s in vain for {what}; received: {self._summary()}")

        return d.addTimeout(patience, reactor, late)

    def _summary(self) -> str:
        shown = [json.dumps(message)[:300] for message in self.received[-20:]]
        return f"{len(self.received)} messages, the last ones: " + ("; ".join(shown) or "none")

    # -- called by Twisted

    def connectionMade(self) -> None:
        """See :class:`twisted.internet.interfaces.IProtocol`."""
        self.open = True

    def dataReceived(self, data: bytes) -> None:
        """Keep complete messages, and resolve the waits that they match."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            self.received.append(message)
            for entry in self._waiting:
                fits, d = entry
                if fits(message):
                    self._waiting.remove(entry)
                    d.callback(message)
                    break
            else:
                self._unread.append(message)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail all waits."""
        self.open = False
        waiting, self._waiting = self._waiting, []
        for _fits, d in waiting:
            d.errback(Waited(f"the connection of {self.name} was closed; received: {self._summary()}"))
        self.closed.callback(None)
