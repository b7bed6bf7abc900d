"""A crawler for tests, at a real UNIX socket: says what it is told to, and keeps what it hears."""

import itertools
import json
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

reactor: Any = _reactor
Message = dict[str, Any]

PATIENCE = 10.0
"""Seconds after which a wait of a test has failed."""
LOOK = 0.01
"""Seconds between looks at a condition that can't announce itself."""


class Waited(AssertionError):
    """A wait took too long; says what there was instead."""


async def until(
    holds: Callable[[], Any | Awaitable[Any]], what: str = "the condition holds", patience: float = PATIENCE
) -> Any:
    """Look again and again until *holds* (a function or a coroutine function) gives something true; that thing."""
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


def in_reactor(patience: float = 30.0) -> Callable[[Any], Any]:
    """Let trial run a coroutine test, for *patience* seconds at most."""

    def decorate(test: Callable[[Any], Coroutine[Any, Any, None]]) -> Any:
        def wrapper(self: Any) -> "Deferred[None]":
            return Deferred.fromCoroutine(test(self)).addTimeout(patience, reactor)

        wrapper.__doc__, wrapper.__name__ = test.__doc__, test.__name__
        return wrapper

    return decorate


class TestCrawler(Protocol):
    """One connection. A crawler that says ``hello`` may have several of these."""

    __test__ = False

    def __init__(self, name: str = "plain") -> None:
        self.name = name
        self.received: list[Message] = []
        """Everything heard, in order."""
        self.closed: Deferred[None] = Deferred()
        """Fires when the connection is over, whoever ended it."""
        self.open = False
        self._ids = itertools.count(1)
        self._unread: deque[Message] = deque()
        self._waiting: list[tuple[Callable[[Message], bool], Deferred[Message]]] = []
        self._buffer = b""

    @classmethod
    async def connect(cls, path: str, name: str = "plain") -> "TestCrawler":
        """A new connection to the UNIX socket *path*."""
        crawler = cls(name)
        await connectProtocol(UNIXClientEndpoint(reactor, path), crawler)
        return crawler

    # -- to the server

    def raw(self, data: bytes) -> None:
        """Send *data* as it is."""
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
        """Introduce itself and return the ``welcome``; without *capabilities* it has ``ack`` and ``commands``."""
        self.say(
            "hello",
            crawlerId=crawler_id or self.name,
            capabilities=list(capabilities or ("ack", "commands")),
            **more,
        )
        return await self.expect("welcome")

    async def told(self, kind: str, job: str | None = None, **data: Any) -> Message:
        """Say something and return the ``ack`` or ``error`` that answers it. Needs the capability ``ack``."""
        return await self.answer(self.say(kind, job, **data))

    async def take_job(self, limit: int = 1) -> Message:
        """Ask for work and wait until there is some; the first job of it."""
        self.say("job_request", limit=limit)
        return await self.job()

    def progress(self, job: str, processed: int, **more: Any) -> str:
        """Say how far it is."""
        fields = {"stage": "fetching", "entityType": "issue", "processed": processed, **more}
        return self.say("job_progress", job, **fields)

    def complete(self, job: str) -> str:
        """Say that *job* is done."""
        return self.say("job_completed", job, success=True, finalCounts={"issue": 1})

    def heartbeat(self) -> str:
        """Give a sign of life."""
        return self.say("heartbeat", activeJobs=0, totalProcessed=0, systemStatus="idle")

    def hang_up(self) -> "Deferred[None]":
        """End the connection; fires when it has."""
        if self.open:
            assert self.transport is not None
            self.transport.abortConnection()  # type: ignore[attr-defined]
        return self.closed

    # -- from the server

    def expect(self, kind: str, patience: float = PATIENCE) -> "Deferred[Message]":
        """The next message of type *kind*; those of other types stay for later."""
        return self._next(lambda message: message["type"] == kind, kind, patience)

    def answer(self, ref: str, patience: float = PATIENCE) -> "Deferred[Message]":
        """The ``ack`` or ``error`` that answers the message with the id *ref*."""
        return self._next(
            lambda message: message["type"] in ("ack", "error") and message["data"].get("ref") == ref,
            f"an answer to {ref}",
            patience,
        )

    async def job(self, patience: float = PATIENCE) -> Message:
        """The first job of the next ``job_response`` that has any; those that have none before it are passed over."""
        found = await self._next(
            lambda message: message["type"] == "job_response" and bool(message["data"]["jobs"]), "a job", patience
        )
        for empty in [each for each in self._unread if each["type"] == "job_response" and not each["data"]["jobs"]]:
            self._unread.remove(empty)
        job: Message = found["data"]["jobs"][0]
        return job

    def of_type(self, kind: str) -> list[Message]:
        """All that was heard of type *kind*."""
        return [message for message in self.received if message["type"] == kind]

    def jobs(self) -> list[str]:
        """The assignment ids that it was ever given."""
        return [job["id"] for message in self.of_type("job_response") for job in message["data"]["jobs"]]

    def _next(self, fits: Callable[[Message], bool], what: str, patience: float) -> "Deferred[Message]":
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
            raise Waited(f"{self.name} waited {seconds:g} s in vain for {what}; it heard {self._heard()}")

        return d.addTimeout(patience, reactor, late)

    def _heard(self) -> str:
        shown = [json.dumps(message)[:300] for message in self.received[-20:]]
        return f"{len(self.received)} messages, at last: " + ("; ".join(shown) or "nothing")

    # -- called by Twisted

    def connectionMade(self) -> None:
        """Now it can speak."""
        self.open = True

    def dataReceived(self, data: bytes) -> None:
        """Keep what the server says."""
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
        """It is over; nobody need wait any longer."""
        self.open = False
        waiting, self._waiting = self._waiting, []
        for _fits, d in waiting:
            d.errback(Waited(f"the connection of {self.name} ended; it heard {self._heard()}"))
        self.closed.callback(None)
