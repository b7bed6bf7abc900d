"""When a connection is read from, and when not."""

from copilot_socket.core.messages import Message
from copilot_socket.core.replies import Ack
from copilot_socket.wire import protocol as protocol_module
from copilot_socket.wire.limits import DEFERRED, FEW_OWED, MAX_OWED
from tests.wire.connection import ProtocolTestCase, acked, beat, beats


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
        pending = self.owe_replies()
        self.receive(beats(*range(MAX_OWED + 10)))
        self.assertEqual((len(self.handler.refs), self.transport.producerState), (MAX_OWED, "paused"))
        for ref in range(MAX_OWED // 2):
            pending[str(ref)].resolve(Ack("heartbeat", str(ref)))
        self.assertEqual(self.transport.producerState, "paused")
        pending[str(MAX_OWED // 2)].resolve(None)
        self.clock.advance(0)
        self.assertEqual((len(self.handler.refs), self.transport.producerState), (MAX_OWED + 10, "producing"))
        self.assertEqual(self.handler.refs, list(map(str, range(MAX_OWED + 10))))

    def test_too_much_owed_and_paused(self) -> None:
        """Of two reasons not to read, the end of one does not end the other."""
        pending = self.owe_replies()
        self.receive(beats(*range(MAX_OWED + 1)))
        self.read(False)
        self.read(True)
        self.assertEqual((len(self.handler.refs), self.transport.producerState), (MAX_OWED, "paused"))
        self.read(False)
        for ref in range(MAX_OWED):
            pending[str(ref)].resolve(None)
        self.clock.advance(0)
        self.assertEqual((len(self.handler.refs), self.transport.producerState), (MAX_OWED, "paused"))
        self.read(True)
        self.assertEqual((len(self.handler.refs), self.transport.producerState), (MAX_OWED + 1, "producing"))

    def test_coroutines_weigh_more(self) -> None:
        """Replies by coroutines take more memory than those after a commit, so fewer may be pending."""
        owed = self.owe()
        self.receive(beats(*range(MAX_OWED)))
        self.assertEqual((len(owed), self.transport.producerState), (MAX_OWED // (1 + DEFERRED), "paused"))

    def test_answers_behind_one_that_is_owed(self) -> None:
        """They count too: behind one pending reply only a limited number of others is kept."""
        pending = self.owe_replies()
        self.receive(beat("first"))
        self.handler.answer = acked
        self.receive(beats(*range(2 * MAX_OWED)))
        self.assertEqual((len(self.handler.refs), self.transport.producerState), (MAX_OWED, "paused"))
        pending["first"].resolve(None)
        self.assertEqual(len(self.sent()), 2 * MAX_OWED)

    def test_much_owed_to_all(self) -> None:
        """While very much is owed to all connections together, each one may be owed only a little."""
        self.patch(protocol_module, "MAX_OWED_IN_ALL", 50)
        pending = self.owe_replies()
        self.receive(beats(*range(60)))
        self.assertEqual(len(self.handler.refs), 50)
        for name in "abc":
            other, transport = self.connect()
            other.dataReceived(beats(*(f"{name}{number}" for number in range(FEW_OWED - 1))))
            self.clock.advance(0)
            self.assertEqual(transport.producerState, "producing")
            other.dataReceived(beats(f"{name} one more", f"{name} two more"))
            self.clock.advance(0)
            self.assertEqual(transport.producerState, "paused")
        self.assertEqual(len(self.handler.refs), 50 + 3 * FEW_OWED)
        for pending_reply in list(pending.values()):
            pending_reply.resolve(None)
        self.clock.advance(0)
        self.assertEqual(self.transport.producerState, "producing")

    def test_closed_while_paused(self) -> None:
        """Input of a closed connection is not handled."""
        self.factory.read(False)
        self.receive(beat(1))
        self.protocol.close("enough")
        self.read(True)
        self.assertEqual((self.handler.refs, self.transport.disconnecting), ([], True))
