"""A connection: every message is answered in its turn, none is lost, and reading stops and goes on."""

import json

from twisted.internet.defer import Deferred

from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.replies import Ack, Shutdown
from copilot_socket.wire.protocol import MAX_BAD_MESSAGES
from tests.wire.connection import LIMIT, Answer, ProtocolTestCase, acked, beat, beats, raising


class AnswerTests(ProtocolTestCase):
    """What goes out, and when."""

    def test_at_once(self) -> None:
        """Replies that are not pending are sent immediately; None sends nothing."""
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
        """A reply resolved after the connection is lost is dropped silently."""
        owed = self.owe()
        self.receive(beat(1))
        self.protocol.connectionLost()
        owed["1"].callback(Ack("heartbeat", "1"))
        self.assertEqual(self.sent(), [])
        self.assertEqual(self.factory.connections, {})


class BadMessageTests(ProtocolTestCase):
    """Messages that are none."""

    def test_too_many_in_a_row(self) -> None:
        """Up to the limit they are tolerated; the last one gets its error, and then the connection closes unread."""
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
        self.assertEqual(self.connection_events.seen, ["opened", "message exceeded 16 times the size limit"])
