"""Messages that raise NotYet: those behind them on the connection wait, other connections do not."""

import json
from collections.abc import Callable
from typing import Any

from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.messages import Message
from copilot_socket.core.pending import NotYet
from copilot_socket.core.replies import Ack
from copilot_socket.wire import flow as flow_module
from copilot_socket.wire import inspection, validators
from copilot_socket.wire.limits import Places
from tests.wire.connection import ProtocolTestCase, acked, beat, beats


class UnsettledTestCase(ProtocolTestCase):
    """Every message named "wait" waits; ``self.settle()`` settles all that they wait for."""

    def setUp(self) -> None:
        super().setUp()
        self.callbacks: list[Callable[[], None]] = []
        self.then: Callable[[Message], Any] = acked
        self.handler.answer = self.answer

    def answer(self, message: Message) -> Ack:
        if message.ref == "wait":
            raise NotYet(self.callbacks.append, self.at_last)
        return acked(message)

    def at_last(self, link: Any, message: Message) -> Any:
        self.assertIs(link, self.protocol)
        self.handler.refs.append("at last")
        return self.then(message)

    def settle(self) -> None:
        """It is settled, and the turn of the reactor is over."""
        callbacks, self.callbacks = self.callbacks, []
        for callback in callbacks:
            callback()
        self.clock.advance(0)


class UnsettledTests(UnsettledTestCase):
    """One connection, and others beside it."""

    def test_in_order(self) -> None:
        """What comes behind it is handled after it, whether it came in the same write or later."""
        self.receive(beats(1, "wait", 2) + b"\nrubbish\n" + beat(3)[:20])
        self.receive(beat(3)[20:] + beat(4))
        self.assertEqual((self.handler.refs, self.transport.producerState), (["1", "wait"], "paused"))
        self.assertEqual(self.sent(), ["1"])
        self.settle()
        self.assertEqual(self.handler.refs, ["1", "wait", "at last", "2", "3", "4"])
        self.assertEqual(self.sent(), ["1", "wait", "2", "invalid_json", "3", "4"])
        self.assertEqual(self.transport.producerState, "producing")

    def test_others_go_on(self) -> None:
        """Other connections are served meanwhile."""
        self.receive(beat("wait"))
        other, transport = self.connect()
        other.dataReceived(beat("other"))
        self.clock.advance(0)
        self.assertEqual(self.handler.refs, ["wait", "other"])
        self.assertIn(b'"other"', transport.value())

    def test_one_after_the_other(self) -> None:
        """Several of them each wait for their own."""
        self.receive(beats("wait", "wait", 1))
        self.settle()
        self.assertEqual(self.handler.refs, ["wait", "at last", "wait"])
        self.settle()
        self.assertEqual(self.handler.refs, ["wait", "at last", "wait", "at last", "1"])

    def test_waits_again(self) -> None:
        """What it waited for may turn out not to be all."""

        def again(_message: Message) -> None:
            self.then = acked
            raise NotYet(self.callbacks.append, self.at_last)

        self.then = again
        self.receive(beats("wait", 1))
        self.settle()
        self.assertEqual((self.handler.refs, self.transport.producerState), (["wait", "at last"], "paused"))
        self.settle()
        self.assertEqual(self.sent(), ["wait", "1"])

    def test_refused_at_last(self) -> None:
        """An error is sent in its place."""

        def refuse(_message: Message) -> None:
            raise ProtocolError(ErrorCode.STALE_ASSIGNMENT, "over", ref="wait")

        self.then = refuse
        self.receive(beats("wait", 1))
        self.settle()
        self.assertEqual(self.sent(), ["stale_assignment wait", "1"])

    def test_another_reason_to_pause(self) -> None:
        """Where the node takes no messages it goes on waiting."""
        self.receive(beats("wait", 1))
        self.read(False)
        self.settle()
        self.assertEqual(self.handler.refs, ["wait"])
        self.read(True)
        self.assertEqual(self.handler.refs, ["wait", "at last", "1"])

    def test_closed_meanwhile(self) -> None:
        """Of a connection that is over nothing is kept, and nothing is handled."""
        self.receive(beats("wait", 1))
        self.protocol.close("enough")
        self.assertIsNone(self.protocol._waiting)
        self.settle()
        self.assertEqual(self.handler.refs, ["wait"])


class LargeTests(UnsettledTestCase):
    """One that was read in several turns."""

    limit = 1 << 20

    def test_keeps_its_place(self) -> None:
        """It needs room as long as it waits, so its connection keeps its place among those with large messages."""
        self.patch(flow_module, "HELD_WITHOUT_PLACE", 5000)
        for module in (inspection, validators):
            self.patch(module, "PARSED_WHOLE", 5000)
        self.factory._places = Places(1)
        message = json.loads(beat("wait"))
        message["data"]["memoryUsage"] = ["x"] * 20_000
        data = json.dumps(message).encode()
        self.receive(data[:6000])
        self.receive(data[6000:])
        while not self.callbacks:
            self.clock.advance(0)
        self.assertEqual(list(self.factory._places.holders), [self.protocol])
        self.settle()
        self.receive(beat(1))
        self.assertEqual(self.handler.refs, ["wait", "at last", "1"])
        self.assertEqual(self.factory._places.holders, {})
