"""A connection over a fake transport, with a fake handler behind it."""

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.errors import ProtocolError
from copilot_socket.core.messages import Message
from copilot_socket.core.pending import PendingReply
from copilot_socket.core.reading_clock import ReadingClock
from copilot_socket.core.replies import Ack
from copilot_socket.event_bus import EventBus, MessagesHandled, StateEvent
from copilot_socket.wire.factory import CrawlerFactory
from copilot_socket.wire.protocol import CrawlerProtocol
from tests.wire.decoding import DECODER

LIMIT = 300
PATIENCE = 30.0
Answer = Callable[[Message], Any]


def beat(ref: object) -> bytes:
    """A heartbeat that *ref* names, not delimited."""
    data = {"activeJobs": 0, "totalProcessed": 0, "systemStatus": "idle"}
    return json.dumps({"type": "heartbeat", "timestamp": "t", "id": str(ref), "data": data}).encode()


def beats(*refs: object) -> bytes:
    """Several of them, back to back."""
    return b"".join(map(beat, refs))


def acked(message: Message) -> Ack:
    """An immediate ack."""
    return Ack(message.type, message.ref)


def raising(error: Exception) -> Answer:
    """No answer, but *error*."""

    def answer(_message: Message) -> Any:
        raise error

    return answer


class FakeHandler:
    """Records messages; answers as the test sets, by default with an immediate ack."""

    def __init__(self) -> None:
        self.answer: Answer = acked
        self.refs: list[str] = []
        self.lived = 0
        self.refusals: list[ProtocolError] = []
        """Of discoveries."""

    def handle(self, link: Any, message: Message) -> Any:
        self.refs.append(message.ref)
        return self.answer(message)

    def refused(self, link: Any, error: ProtocolError) -> None:
        self.refusals.append(error)

    def lives(self, link: Any) -> None:
        self.lived += 1


class FakeConnectionEvents:
    """Records connections, and why they were closed."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def admits(self, identity: Any) -> bool:
        return True

    def opened(self, link: Any, peer: Any) -> None:
        self.seen.append("opened")

    def closed(self, link: Any, reason: str) -> None:
        self.seen.append(reason)


class Transport(StringTransport):
    """Counts writes, and may be paused and resumed repeatedly, like a real transport.

    With *room* set, it pauses its producer once that many bytes are written.
    """

    writes = 0
    room: int | None = None

    def write(self, data: bytes) -> None:
        self.writes += 1
        super().write(data)
        if self.room is not None and len(self.value()) > self.room:
            self.producer.pauseProducing()  # type: ignore[attr-defined]

    def pauseProducing(self) -> None:
        self.producerState = "paused"

    def resumeProducing(self) -> None:
        self.producerState = "producing"


def turn(clock: Clock) -> None:
    """One turn of a reactor: runs the calls that are due, but not those that they schedule."""
    for call in [call for call in clock.calls if call.getTime() <= clock.seconds()]:
        if call in clock.calls:
            clock.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)


class ProtocolTestCase(SynchronousTestCase):
    """A connection with a fake handler behind it."""

    limit = LIMIT
    rate = 0

    def setUp(self) -> None:
        self.handler = FakeHandler()
        self.connection_events = FakeConnectionEvents()
        self.events: list[StateEvent] = []
        bus = EventBus()
        bus.subscribe(self.events.append)
        self.clock = Clock()
        self.reading_clock = ReadingClock(1.0)
        self.factory = CrawlerFactory(
            DECODER,
            self.handler,
            self.connection_events,
            self.clock,
            self.reading_clock,
            bus,
            max_connections=10,
            max_message_size=self.limit,
            max_rate=self.rate,
            patience=PATIENCE,
        )
        self.protocol, self.transport = self.connect()

    def connect(self) -> tuple[CrawlerProtocol, Transport]:
        """Another connection."""
        protocol, transport = self.factory.buildProtocol(None), Transport()
        protocol.makeConnection(transport)
        return protocol, transport

    def receive(self, data: bytes) -> None:
        """Receive *data* and end the turn of the reactor."""
        self.protocol.dataReceived(data)
        self.clock.advance(0)

    def read(self, reading: bool) -> None:
        """Pause or resume reading from all crawlers, and end the turn of the reactor."""
        self.factory.read(reading)
        self.clock.advance(0)

    def sent(self) -> list[str]:
        """What was sent by the end of the turn: refs of acks, codes and refs of errors, types of other messages."""
        self.clock.advance(0)
        found = []
        for line in self.transport.value().splitlines():
            message = json.loads(line)
            data = message["data"]
            match message["type"]:
                case "ack":
                    found.append(data["ref"])
                case "error":
                    found.append(" ".join(filter(None, (data["code"], data.get("ref")))))
                case other:
                    found.append(other)
        return found

    def owe(self) -> dict[str, "Deferred[Any]"]:
        """From now on the handler answers with Deferreds; returns these by ref."""
        owed: dict[str, Deferred[Any]] = {}

        def later(message: Message) -> "Deferred[Any]":
            return owed.setdefault(message.ref, Deferred())

        self.handler.answer = later
        return owed

    def owe_replies(self) -> dict[str, PendingReply]:
        """From now on the handler answers with pending replies; returns these by ref."""
        pending: dict[str, PendingReply] = {}

        def later(message: Message) -> PendingReply:
            return pending.setdefault(message.ref, PendingReply())

        self.handler.answer = later
        return pending

    def outcomes(self) -> list[str]:
        """The published outcome of each message."""
        handled = [change for change in self.events if isinstance(change, MessagesHandled)]
        return [change.outcome for change in handled for _ in range(change.count)]
