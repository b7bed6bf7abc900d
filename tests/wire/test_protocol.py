"""A connection: every message is answered in its turn, none is lost, and reading stops and goes on."""

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.messages import Message
from copilot_socket.core.promises import Promise
from copilot_socket.core.replies import Ack, Shutdown
from copilot_socket.telling import MessagesHandled, News, Telling
from copilot_socket.wire.factory import CrawlerFactory
from copilot_socket.wire.protocol import MAX_BAD_MESSAGES, MAX_OWED, CrawlerProtocol
from tests.wire.decoding import DECODER

LIMIT = 300
Answer = Callable[[Message], Any]


def beat(ref: object) -> bytes:
    """A heartbeat that *ref* names, not delimited."""
    data = {"activeJobs": 0, "totalProcessed": 0, "systemStatus": "idle"}
    return json.dumps({"type": "heartbeat", "timestamp": "t", "id": str(ref), "data": data}).encode()


def beats(*refs: object) -> bytes:
    """Several of them, back to back."""
    return b"".join(map(beat, refs))


def acked(message: Message) -> Ack:
    """An answer at once."""
    return Ack(message.type, message.ref)


def raising(error: Exception) -> Answer:
    """No answer, but *error*."""

    def answer(_message: Message) -> Any:
        raise error

    return answer


class FakeHandler:
    """Remembers messages; answers as the test says, at once if it says nothing."""

    def __init__(self) -> None:
        self.answer: Answer = acked
        self.refs: list[str] = []
        self.bad_messages = 0

    def handle(self, link: Any, message: Message) -> Any:
        self.refs.append(message.ref)
        return self.answer(message)

    def bad_message(self, link: Any) -> None:
        self.bad_messages += 1


class FakeDoorkeeper:
    """Remembers who came and why they left."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def opened(self, link: Any, peer: Any) -> None:
        self.told.append("opened")

    def closed(self, link: Any, reason: str) -> None:
        self.told.append(reason)


class Transport(StringTransport):
    """One that may be paused and resumed as often as one likes, as a real one, and counts writes."""

    writes = 0

    def write(self, data: bytes) -> None:
        self.writes += 1
        super().write(data)

    def pauseProducing(self) -> None:
        self.producerState = "paused"

    def resumeProducing(self) -> None:
        self.producerState = "producing"


class ProtocolTestCase(SynchronousTestCase):
    """A connection with a fake handler behind it."""

    def setUp(self) -> None:
        self.handler = FakeHandler()
        self.doorkeeper = FakeDoorkeeper()
        self.news: list[News] = []
        telling = Telling()
        telling.listen(self.news.append)
        self.clock = Clock()
        self.factory = CrawlerFactory(
            DECODER, self.handler, self.doorkeeper, self.clock, telling, max_connections=10, max_message_size=LIMIT
        )
        self.transport = Transport()
        self.protocol: CrawlerProtocol = self.factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def receive(self, data: bytes) -> None:
        """Bytes come in, and the turn of the reactor is over."""
        self.protocol.dataReceived(data)
        self.clock.advance(0)

    def read(self, reading: bool) -> None:
        """Reading from all crawlers stops or goes on, and the turn of the reactor is over."""
        self.factory.read(reading)
        self.clock.advance(0)

    def sent(self) -> list[str]:
        """What has gone out after the turn: refs of acks, codes of errors with their ref, types of the rest."""
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
        """From now on answers come later; gives them by ref."""
        owed: dict[str, Deferred[Any]] = {}

        def later(message: Message) -> "Deferred[Any]":
            return owed.setdefault(message.ref, Deferred())

        self.handler.answer = later
        return owed

    def outcomes(self) -> list[str]:
        """What has been told of the messages, one by one."""
        told = [news for news in self.news if isinstance(news, MessagesHandled)]
        return [news.outcome for news in told for _ in range(news.count)]


class AnswerTests(ProtocolTestCase):
    """What goes out, and when."""

    def test_at_once(self) -> None:
        """Answers that are known go out at once; None is no answer."""
        self.receive(beats(1, 2))
        self.handler.answer = lambda _message: None
        self.receive(beat(3))
        self.assertEqual((self.handler.refs, self.sent()), (["1", "2", "3"], ["1", "2"]))

    def test_in_the_order_received(self) -> None:
        """Acks and errors keep the order of their messages, whichever is known first."""
        owed = self.owe()
        self.receive(beats(1, 2) + b"rubbish\n" + beats(3) + b'{"type":"?","id":"4"}')
        owed["3"].callback(Ack("heartbeat", "3"))
        owed["2"].callback(None)
        self.assertEqual(self.sent(), [])
        owed["1"].errback(ProtocolError(ErrorCode.STALE_ASSIGNMENT, "too late", ref="1"))
        self.assertEqual(self.sent(), ["stale_assignment 1", "invalid_json", "3", "unknown_type 4"])

    def test_pushes_overtake(self) -> None:
        """A push does not wait for answers."""
        owed = self.owe()
        self.receive(beat(1))
        self.protocol.push(Shutdown("node", True, 8.0))
        owed["1"].callback(Ack("heartbeat", "1"))
        self.assertEqual(self.sent(), ["shutdown", "1"])

    def test_bad_elements(self) -> None:
        """Errors of bad elements come in the place of their message, before its ack."""
        owed = self.owe()
        data = {"entityType": "group", "entities": [None, {"id": 1, "name": "n", "path": "p"}, 5]}
        message = {"type": "discovery", "timestamp": "t", "id": "1", "data": data}
        self.receive(json.dumps(message).encode() + beat(2))
        owed["2"].callback(Ack("heartbeat", "2"))
        owed["1"].callback(Ack("discovery", "1"))
        self.assertEqual(self.sent(), ["invalid_message 1", "invalid_message 1", "1", "2"])
        self.assertIn(b'"path":"/data/entities/2"', self.transport.value())

    def test_refused_by_the_handler(self) -> None:
        """An error that a handler raises is the answer."""
        self.handler.answer = raising(ProtocolError(ErrorCode.UNAUTHORIZED, "no", ref="1"))
        self.receive(beat(1))
        self.assertEqual((self.sent(), self.outcomes()), (["unauthorized 1"], ["unauthorized"]))

    def test_failing_handler(self) -> None:
        """A handler that breaks costs its message `internal`, and says nothing of why; the next one is handled."""
        self.handler.answer = raising(ZeroDivisionError("s3cret"))
        self.receive(beat(1))
        owed = self.owe()
        self.receive(beat(2))
        owed["2"].errback(ZeroDivisionError("s3cret"))
        self.handler.answer = acked
        self.receive(beat(3))
        self.assertEqual(self.sent(), ["internal 1", "internal 2", "3"])
        self.assertNotIn(b"s3cret", self.transport.value())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual(self.outcomes(), ["internal", "internal", "ok"])

    def test_answer_to_a_connection_that_has_gone(self) -> None:
        """An answer that comes too late goes nowhere, and disturbs nobody."""
        owed = self.owe()
        self.receive(beat(1))
        self.protocol.connectionLost()
        owed["1"].callback(Ack("heartbeat", "1"))
        self.assertEqual(self.sent(), [])
        self.assertEqual(self.factory.connections, {})


class TogetherTests(ProtocolTestCase):
    """What is sent and told in one go."""

    def test_answers_of_a_read(self) -> None:
        """They go out in one write."""
        self.receive(beats(1, 2) + b"rubbish\n" + beats(3))
        self.assertEqual((self.transport.value().count(b"\n"), self.transport.writes), (4, 1))

    def test_answers_of_a_turn(self) -> None:
        """Those that become known later go out in one write when the turn is over."""
        owed = self.owe()
        self.receive(beats(1, 2))
        owed["2"].callback(Ack("heartbeat", "2"))
        owed["1"].callback(Ack("heartbeat", "1"))
        self.assertEqual(self.transport.value(), b"")
        self.assertEqual((self.sent(), self.transport.writes), (["1", "2"], 1))

    def test_a_read_between(self) -> None:
        """What waits for the end of the turn goes out with the answers of a read that comes before it, in order."""
        owed = self.owe()
        self.receive(beats(1))
        owed["1"].callback(Ack("heartbeat", "1"))
        self.handler.answer = acked
        self.receive(beats(2))
        self.assertEqual((self.sent(), self.transport.writes), (["1", "2"], 1))

    def test_a_push_alone(self) -> None:
        """Where nothing is owed, a push goes out at once, with what waits for the end of the turn."""
        owed = self.owe()
        self.receive(beats(1))
        owed["1"].callback(Ack("heartbeat", "1"))
        self.protocol.push(Shutdown("node", True, 8.0))
        self.assertEqual((self.transport.value().count(b"\n"), self.transport.writes), (2, 1))
        self.assertEqual((self.sent(), self.transport.writes), (["1", "shutdown"], 1))

    def test_a_push_while_answers_are_owed(self) -> None:
        """It goes out when the turn is over, with the answers that became known meanwhile."""
        owed = self.owe()
        self.receive(beats(1))
        self.protocol.push(Shutdown("node", True, 8.0))
        owed["1"].callback(Ack("heartbeat", "1"))
        self.assertEqual(self.transport.value(), b"")
        self.assertEqual((self.sent(), self.transport.writes), (["shutdown", "1"], 1))

    def test_before_the_end(self) -> None:
        """What was said before a connection is closed goes out first."""
        owed = self.owe()
        self.receive(beats(1))
        owed["1"].callback(Ack("heartbeat", "1"))
        self.protocol.close("enough")
        self.assertEqual((self.transport.writes, self.transport.disconnecting), (1, True))

    def test_all_is_read_first(self) -> None:
        """What two connections say in one turn is dealt with before either of them is answered."""
        transport = Transport()
        other = self.factory.buildProtocol(None)
        other.makeConnection(transport)
        seen: list[tuple[str, int, int]] = []

        def look(message: Message) -> Ack:
            seen.append((message.ref, self.transport.writes, transport.writes))
            return acked(message)

        self.handler.answer = look
        self.protocol.dataReceived(beats(1))
        other.dataReceived(beats(2, 3))
        self.protocol.dataReceived(beats(4))
        self.assertEqual(seen, [])
        self.clock.advance(0)
        self.assertEqual(seen, [("1", 0, 0), ("2", 0, 0), ("3", 0, 0), ("4", 0, 0)])
        self.assertEqual((self.sent(), self.transport.writes, transport.writes), (["1", "4"], 1, 1))

    def test_a_push_while_messages_are_dealt_with(self) -> None:
        """It goes out with the answers of its turn."""

        def push(message: Message) -> Ack:
            self.protocol.push(Shutdown("node", True, 8.0))
            return acked(message)

        self.handler.answer = push
        self.receive(beats(1))
        self.assertEqual((self.sent(), self.transport.writes), (["shutdown", "1"], 1))

    def test_gone_before_the_turn_is_over(self) -> None:
        """What a connection said that is lost meanwhile is dropped: it was never acked."""
        self.protocol.dataReceived(beats(1))
        self.protocol.connectionLost()
        self.clock.advance(0)
        self.assertEqual(self.handler.refs, [])

    def test_a_fault_of_the_server(self) -> None:
        """It ends its connection, and disturbs no other."""
        other = self.factory.buildProtocol(None)
        other.makeConnection(Transport())
        self.patch(self.protocol._framer, "feed", lambda _data: 1 / 0)
        self.protocol.dataReceived(beats(1))
        other.dataReceived(beats(2))
        self.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((self.transport.disconnecting, self.handler.refs), (True, ["2"]))

    def test_told_with_their_number(self) -> None:
        """Messages that are answered in one turn are told together, with the time since the turn began."""

        def slow(message: Message) -> Ack:
            self.clock.rightNow += 0.5
            return acked(message)

        other = self.factory.buildProtocol(None)
        other.makeConnection(Transport())
        self.handler.answer = slow
        self.protocol.dataReceived(beats(1, 2) + b"rubbish\n" + beats(3))
        other.dataReceived(beats(4))
        self.assertEqual(self.news, [])
        self.clock.advance(0)
        told = [(news.type, news.outcome, news.seconds) for news in self.news]  # type: ignore[union-attr]
        self.assertCountEqual(told, [("heartbeat", "ok", [(2.0, 4)]), ("unknown", "invalid_json", [(2.0, 1)])])
        self.receive(beats(5))
        self.assertEqual(self.news[-1], MessagesHandled("heartbeat", "ok", [(0.5, 1)]))

    def test_told_when_answered(self) -> None:
        """A message that is answered later is told then, with all the time that it took."""
        owed = self.owe()
        self.receive(beats(1, 2))
        self.assertEqual(self.news, [])
        self.clock.advance(2)
        owed["2"].callback(None)
        self.clock.advance(0)
        self.assertEqual([news.seconds for news in self.news], [[(2.0, 1)]])

    def test_promised(self) -> None:
        """What a handler promises is answered like what it has a Deferred for, in its turn."""
        promises = {ref: Promise() for ref in "1234"}
        self.handler.answer = lambda message: promises[message.ref]
        self.receive(beats(1, 2, 3, 4))
        promises["3"].fail(ZeroDivisionError())
        promises["2"].fail(ProtocolError(ErrorCode.UNAUTHORIZED, "no", ref="2"))
        self.assertEqual(self.sent(), [])
        promises["1"].keep(Ack("heartbeat", "1"))
        promises["4"].keep(None)
        self.assertEqual(self.sent(), ["1", "unauthorized 2", "internal 3"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class BadMessageTests(ProtocolTestCase):
    """Messages that are none."""

    def test_too_many_in_a_row(self) -> None:
        """One fewer is borne; the last one is told of, and then the connection closes and is not listened to."""
        self.receive(b"x\n" * (MAX_BAD_MESSAGES - 1))
        self.assertFalse(self.transport.disconnecting)
        self.receive(b"x\n" + beat(1))
        self.assertTrue(self.transport.disconnecting)
        held = self.protocol._framer.held
        self.receive(beat(2))
        self.assertEqual(self.sent(), ["invalid_json"] * MAX_BAD_MESSAGES)
        self.assertEqual((self.handler.refs, self.protocol._framer.held), ([], held))

    def test_every_kind_counts(self) -> None:
        """Whichever of the four kinds they are."""
        large = b'{"a":"' + b"x" * LIMIT + b'"}'
        self.receive((b"x\n" + b'{"type":"?"}' + b'{"type":5}' + large) * (MAX_BAD_MESSAGES // 4))
        self.assertEqual(set(self.sent()), {"invalid_json", "unknown_type", "invalid_message", "message_too_large"})
        self.assertTrue(self.transport.disconnecting)

    def test_a_valid_one_starts_again(self) -> None:
        """Any valid message does, one that the handler refuses or breaks on too."""
        answers: list[Answer] = [
            acked,
            raising(ProtocolError(ErrorCode.UNAUTHORIZED, "no")),
            raising(ZeroDivisionError()),
            lambda _message: Deferred(),
        ]
        for answer in answers:
            self.handler.answer = answer
            self.receive(b"x\n" * (MAX_BAD_MESSAGES - 1) + beat(1))
        self.assertFalse(self.transport.disconnecting)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_invalid_to_the_handler(self) -> None:
        """A message that is invalid only in its place, such as a second hello, is a bad one."""
        self.handler.answer = raising(ProtocolError(ErrorCode.INVALID_MESSAGE, "no"))
        self.receive(beat(1) * MAX_BAD_MESSAGES)
        self.assertTrue(self.transport.disconnecting)

    def test_owed_answers_before_the_end(self) -> None:
        """Answers still owed, and the errors behind them, go out before the connection closes."""
        owed = self.owe()
        self.receive(beat(1) + b"x\n" * MAX_BAD_MESSAGES + beat(2))
        self.assertFalse(self.transport.disconnecting)
        owed["1"].callback(Ack("heartbeat", "1"))
        self.assertEqual(self.sent(), ["1"] + ["invalid_json"] * MAX_BAD_MESSAGES)
        self.assertTrue(self.transport.disconnecting)

    def test_too_large(self) -> None:
        """A message past the limit costs one error, however it comes; the next one is read."""
        large = b'{"type":"heartbeat","x":"' + b"}{" * LIMIT + b'"}'
        self.receive(large + beat(1))
        for byte in large:
            self.receive(bytes([byte]))
        self.receive(beat(2))
        self.assertEqual(self.sent(), ["message_too_large", "1", "message_too_large", "2"])

    def test_far_too_large(self) -> None:
        """One that never ends closes the connection."""
        self.receive(b'{"a":"')
        for _ in range(16):
            self.assertFalse(self.transport.disconnecting)
            self.receive(b"x" * LIMIT)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.sent(), ["message_too_large"])
        self.protocol.connectionLost()
        self.assertEqual(self.doorkeeper.told, ["opened", "a message went on past 16 times the limit"])


class ReadingTests(ProtocolTestCase):
    """Reading stops and goes on."""

    def test_paused(self) -> None:
        """What has been read while paused is handled when reading goes on, once, and in order."""
        self.factory.read(False)
        self.assertEqual(self.transport.producerState, "paused")
        self.receive(beats(1, 2) + beat(3)[:20])
        self.receive(beat(3)[20:])
        self.assertEqual(self.handler.refs, [])
        self.factory.read(True)
        self.factory.read(True)
        self.receive(beat(4))
        self.assertEqual(self.handler.refs, ["1", "2", "3", "4"])
        self.assertEqual(self.transport.producerState, "producing")

    def test_paused_by_a_message(self) -> None:
        """A handler that has reading stopped gets no further message of what has come already."""

        def stop(message: Message) -> Ack:
            self.factory.read(False)
            return acked(message)

        self.handler.answer = stop
        self.receive(beats(1, 2, 3))
        self.assertEqual(self.handler.refs, ["1"])
        self.read(True)
        self.assertEqual(self.handler.refs, ["1", "2"])
        self.handler.answer = acked
        self.read(True)
        self.assertEqual((self.handler.refs, self.sent()), (["1", "2", "3"], ["1", "2", "3"]))

    def test_resumed_by_a_message(self) -> None:
        """A handler that has reading stopped and resumed is still answered before the messages behind."""

        def stop_and_go(message: Message) -> Ack:
            self.factory.read(False)
            self.factory.read(True)
            return acked(message)

        self.handler.answer = stop_and_go
        self.receive(beats(1, 2, 3))
        self.assertEqual((self.handler.refs, self.sent()), (["1", "2", "3"], ["1", "2", "3"]))

    def test_too_much_owed(self) -> None:
        """A connection that is owed very many answers is not read from until it has had half of them."""
        owed = self.owe()
        self.receive(beats(*range(MAX_OWED + 10)))
        self.assertEqual((len(self.handler.refs), self.transport.producerState), (MAX_OWED, "paused"))
        for ref in range(MAX_OWED // 2):
            owed[str(ref)].callback(Ack("heartbeat", str(ref)))
        self.assertEqual(self.transport.producerState, "paused")
        owed[str(MAX_OWED // 2)].callback(None)
        self.clock.advance(0)
        self.assertEqual((len(self.handler.refs), self.transport.producerState), (MAX_OWED + 10, "producing"))
        self.assertEqual(self.handler.refs, list(map(str, range(MAX_OWED + 10))))

    def test_too_much_owed_and_paused(self) -> None:
        """Of two reasons not to read, the end of one does not end the other."""
        owed = self.owe()
        self.receive(beats(*range(MAX_OWED + 1)))
        self.factory.read(False)
        self.factory.read(True)
        self.assertEqual((len(self.handler.refs), self.transport.producerState), (MAX_OWED, "paused"))
        self.factory.read(False)
        for ref in range(MAX_OWED):
            owed[str(ref)].callback(None)
        self.assertEqual((len(self.handler.refs), self.transport.producerState), (MAX_OWED, "paused"))
        self.read(True)
        self.assertEqual((len(self.handler.refs), self.transport.producerState), (MAX_OWED + 1, "producing"))

    def test_closed_while_paused(self) -> None:
        """A connection that was closed is not dealt with any more."""
        self.factory.read(False)
        self.receive(beat(1))
        self.protocol.close("enough")
        self.read(True)
        self.assertEqual((self.handler.refs, self.transport.disconnecting), ([], True))
