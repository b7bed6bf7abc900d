"""What is handled, sent and published in one turn of the reactor."""

from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.messages import Message
from copilot_socket.core.pending import PendingReply
from copilot_socket.core.replies import Ack, Shutdown, TokenRefreshResponse
from copilot_socket.event_bus import MessagesHandled
from tests.wire.connection import ProtocolTestCase, Transport, acked, beats


class TogetherTests(ProtocolTestCase):
    """Writes and state events of a turn."""

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
        """Without pending replies, a push is written immediately, with the replies collected in the turn."""
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
        """The messages of two connections in one turn are handled before either is answered."""
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

    def test_a_reply_that_cannot_be_sent(self) -> None:
        """It ends its connection, for the replies beside it are lost with it; others are sent theirs."""
        transport = Transport()
        other = self.factory.buildProtocol(None)
        other.makeConnection(transport)
        self.handler.answer = lambda message: TokenRefreshResponse if message.ref == "1" else acked(message)
        self.protocol.dataReceived(beats(1, 2))
        other.dataReceived(beats(3))
        self.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.assertEqual((self.transport.value(), self.transport.disconnecting), (b"", True))
        self.assertEqual((transport.value().count(b"\n"), transport.disconnecting), (1, False))

    def test_counted_from_reading(self) -> None:
        """Also when handling is delayed."""
        self.protocol.dataReceived(beats(1))
        self.clock.advance(0.25)
        self.assertEqual(self.events, [MessagesHandled("heartbeat", "ok", [(0.25, 1)])])

    def test_told_with_their_number(self) -> None:
        """Messages answered in one turn are published together, with the time since the turn began."""

        def slow(message: Message) -> Ack:
            self.clock.rightNow += 0.5
            return acked(message)

        other = self.factory.buildProtocol(None)
        other.makeConnection(Transport())
        self.handler.answer = slow
        self.protocol.dataReceived(beats(1, 2) + b"rubbish\n" + beats(3))
        other.dataReceived(beats(4))
        self.assertEqual(self.events, [])
        self.clock.advance(0)
        handled = [change for change in self.events if isinstance(change, MessagesHandled)]
        seen = [(change.type, change.outcome, change.seconds) for change in handled]
        self.assertCountEqual(seen, [("heartbeat", "ok", [(2.0, 4)]), ("unknown", "invalid_json", [(2.0, 1)])])
        self.receive(beats(5))
        self.assertEqual(self.events[-1], MessagesHandled("heartbeat", "ok", [(0.5, 1)]))

    def test_told_when_answered(self) -> None:
        """A message answered later is published then, with its whole duration."""
        owed = self.owe()
        self.receive(beats(1, 2))
        self.assertEqual(self.events, [])
        self.clock.advance(2)
        owed["2"].callback(None)
        self.clock.advance(0)
        self.assertEqual([change.seconds for change in self.events], [[(2.0, 1)]])

    def test_promised(self) -> None:
        """A pending reply is answered in its turn, like a Deferred."""
        pending = {ref: PendingReply() for ref in "1234"}
        self.handler.answer = lambda message: pending[message.ref]
        self.receive(beats(1, 2, 3, 4))
        pending["3"].reject(ZeroDivisionError())
        pending["2"].reject(ProtocolError(ErrorCode.UNAUTHORIZED, "no", ref="2"))
        self.assertEqual(self.sent(), [])
        pending["1"].resolve(Ack("heartbeat", "1"))
        pending["4"].resolve(None)
        self.assertEqual(self.sent(), ["1", "unauthorized 2", "internal 3"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
