"""Clients that do not read, or send a large message slowly: paused, then disconnected, and their memory released."""

import gc
import weakref
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure

from copilot_socket.core.messages import Message
from copilot_socket.core.replies import Ack, Shutdown
from copilot_socket.wire import factory as factory_module
from copilot_socket.wire import flow as flow_module
from copilot_socket.wire.codec import encode
from copilot_socket.wire.limits import CONTENDED_TIMEOUT, MAX_REFUSED, MAX_UNSENT, Places
from copilot_socket.wire.protocol import CrawlerProtocol
from tests.wire.connection import PATIENCE, ProtocolTestCase, Transport, acked, beat, beats

MANY = 3 * MAX_UNSENT
STOPS = Shutdown("node", True, 8.0)


class FlowTestCase(ProtocolTestCase):
    """Shorthand."""

    def pass_by(self, seconds: float) -> None:
        """Advance the reading clock, and disconnect stalled clients."""
        self.reading_clock.now += seconds
        self.factory.cut_off_stalled()

    def open(self, protocol: CrawlerProtocol | None = None) -> bool:
        """Whether the connection is."""
        transport: Any = (protocol or self.protocol).transport
        return not transport.disconnecting

    def lose(self, protocol: CrawlerProtocol, transport: Transport) -> None:
        """What an aborted transport does in the next turn."""
        self.assertTrue(transport.disconnected, "it is not cut off")
        protocol.connectionLost(Failure(ConnectionAborted()))


class UnreadTests(FlowTestCase):
    """A client that does not read what it is sent."""

    def test_not_read_from(self) -> None:
        """It is not read until it has read everything; then its earlier input comes first."""
        self.receive(beat(1))
        self.protocol.pauseProducing()
        self.receive(beats(2, 3) + beat(4)[:10])
        self.assertEqual((self.handler.refs, self.transport.producerState), (["1"], "paused"))
        self.protocol.resumeProducing()
        self.assertEqual(self.transport.producerState, "paused")
        self.clock.advance(0)
        self.assertEqual((self.handler.refs, self.transport.producerState), (["1", "2", "3"], "producing"))
        self.receive(beat(4)[10:])
        self.assertEqual(self.sent(), ["1", "2", "3", "4"])

    def test_not_before_earlier_input_is_handled(self) -> None:
        """Reading resumes only when no input is left: otherwise more would pile up with each pause."""

        def stop(message: Message) -> Ack:
            self.protocol.pauseProducing()
            return acked(message)

        self.handler.answer = stop
        self.receive(beats(1, 2, 3))
        self.protocol.resumeProducing()
        self.clock.advance(0)
        self.assertEqual((self.handler.refs, self.transport.producerState), (["1", "2"], "paused"))

    def test_within_one_read(self) -> None:
        """Many replies are written immediately; when they fill the socket, the rest of a read waits as bytes."""
        self.transport.room = 1000
        self.receive(beats(*range(MANY)) + b"\nrubbish\n" + beat("last")[:20])
        self.assertEqual(len(self.handler.refs), MAX_UNSENT)
        self.assertEqual((self.transport.producerState, len(self.protocol._framer.ready)), ("paused", 0))
        self.assertEqual(self.protocol._complete.count(b"heartbeat"), MANY - MAX_UNSENT)
        while len(self.handler.refs) < MANY:
            self.protocol.resumeProducing()
            self.clock.advance(0)
        self.protocol.resumeProducing()
        self.receive(beat("last")[20:])
        self.assertEqual(self.sent(), [*map(str, range(MANY)), "invalid_json", "last"])

    def test_several_reasons(self) -> None:
        """The end of one reason is not the end of another, in any order."""
        self.protocol.pauseProducing()
        self.factory.read(False)
        self.protocol.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(self.transport.producerState, "paused")
        self.protocol.pauseProducing()
        self.read(True)
        self.assertEqual(self.transport.producerState, "paused")
        self.protocol.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(self.transport.producerState, "producing")

    def test_cut_off(self) -> None:
        """It is disconnected when it reads nothing for the time-out; any progress restarts the time-out."""
        self.protocol.pauseProducing()
        for _ in range(3):
            self.pass_by(PATIENCE - 1)
            self.protocol.bytes_taken()
        self.pass_by(PATIENCE)
        self.assertTrue(self.open())
        self.pass_by(1)
        self.assertFalse(self.open())
        self.lose(self.protocol, self.transport)
        self.assertEqual(
            self.connection_events.seen, ["opened", "client has read nothing within the heartbeat time-out"]
        )

    def test_not_cut_off(self) -> None:
        """A client that has read everything may stay silent for any time."""
        self.protocol.pauseProducing()
        self.pass_by(PATIENCE - 1)
        self.protocol.resumeProducing()
        self.pass_by(10 * PATIENCE)
        self.assertTrue(self.open())

    def test_closed_and_does_not_read(self) -> None:
        """The time-out also holds for a closing connection, however often it is closed."""
        self.protocol.close("enough")
        self.pass_by(PATIENCE)
        self.protocol.close("enough")
        self.pass_by(1)
        self.lose(self.protocol, self.transport)
        self.assertEqual(self.connection_events.seen, ["opened", "enough"])

    def test_too_much_in_all(self) -> None:
        """Over the limit for all connections, the one that has read nothing for the longest time is disconnected."""
        size = len(encode([STOPS]))
        self.patch(factory_module, "MAX_UNREAD", 5 * size)
        first, second, third = [self.protocol, *(self.connect()[0] for _ in range(2))]
        for each in (first, second, third):
            self.reading_clock.now += 1
            each.pauseProducing()
        first.bytes_taken()  # so now the second is the one
        for each in (first, second, third):
            each.push(STOPS)
        self.assertEqual([self.open(each) for each in (first, second, third)], [True] * 3)
        for _ in range(3):
            third.push(STOPS)
        self.assertEqual([self.open(each) for each in (first, second, third)], [True, False, True])
        second.connectionLost()
        for each in (first, third):
            each.resumeProducing()
        self.assertEqual(self.factory._unread, 0)


class PlaceTests(FlowTestCase):
    """Large messages: a limited number of connections may be in the middle of one."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(flow_module, "HELD_WITHOUT_PLACE", 50)
        self.factory._places = Places(1)
        self.other, self.other_transport = self.connect()

    def begin(self, protocol: CrawlerProtocol, ref: str) -> None:
        """Send more of an incomplete message than a connection may hold without a place."""
        protocol.dataReceived(beat(ref)[:60])
        self.clock.advance(0)

    def end(self, protocol: CrawlerProtocol, ref: str) -> None:
        """Send the rest of it."""
        protocol.dataReceived(beat(ref)[60:])
        self.clock.advance(0)

    def test_who_is_not_admitted(self) -> None:
        """It takes none from others: its connection ends."""
        self.other.admitted = False
        self.begin(self.other, "2")
        self.lose(self.other, self.other_transport)
        self.begin(self.protocol, "1")
        self.end(self.protocol, "1")
        self.assertEqual(self.handler.refs, ["1"])

    def test_in_turn(self) -> None:
        """Others wait for a place, first come, first served; small messages need none."""
        third, third_transport = self.connect()
        self.begin(self.protocol, "1")
        self.begin(self.other, "2")
        self.begin(third, "3")
        states = [each.producerState for each in (self.transport, self.other_transport, third_transport)]
        self.assertEqual(states, ["producing", "paused", "paused"])
        fourth, fourth_transport = self.connect()
        fourth.dataReceived(beat("4")[:30])
        fourth.dataReceived(beat("4")[30:])
        self.clock.advance(0)
        self.end(self.protocol, "1")
        states = [each.producerState for each in (self.other_transport, third_transport, fourth_transport)]
        self.assertEqual(states, ["producing", "paused", "producing"])
        self.end(self.other, "2")
        self.end(third, "3")
        self.assertEqual(self.handler.refs, ["4", "1", "2", "3"])
        self.assertEqual((self.factory._places.holders, self.factory._places._queue), ({}, {}))

    def test_freed_by_the_end_of_a_connection(self) -> None:
        """A closed connection gives up its place, or its position in the queue."""
        third, third_transport = self.connect()
        self.begin(self.protocol, "1")
        self.begin(self.other, "2")
        self.begin(third, "3")
        self.other.connectionLost()
        self.protocol.close("enough")
        self.clock.advance(0)
        self.assertEqual(third_transport.producerState, "producing")

    def test_alone(self) -> None:
        """With an empty queue, a connection has the whole time-out to complete its message."""
        self.begin(self.protocol, "1")
        self.pass_by(PATIENCE)
        self.assertTrue(self.open())
        self.pass_by(1)
        self.assertFalse(self.open())

    def test_cut_off(self) -> None:
        """While others are queued there is less time; queued connections are not disconnected."""
        self.begin(self.protocol, "1")
        self.begin(self.other, "2")
        self.pass_by(CONTENDED_TIMEOUT)
        self.assertTrue(self.open())
        self.pass_by(1)
        self.assertEqual((self.open(), self.open(self.other)), (False, True))
        self.lose(self.protocol, self.transport)
        self.clock.advance(0)
        self.assertEqual(self.other_transport.producerState, "producing")
        self.pass_by(PATIENCE)
        self.assertTrue(self.open(self.other), "its time has begun when it got its place")

    def test_time_in_which_it_is_not_read_from(self) -> None:
        """It does not count: the message could not go on."""
        self.begin(self.protocol, "1")
        self.protocol.pauseProducing()
        self.protocol.taken_at = None  # that it does not read is another matter
        self.pass_by(2 * PATIENCE)
        self.protocol.resumeProducing()
        self.clock.advance(0)
        self.pass_by(PATIENCE)
        self.assertTrue(self.open())
        self.end(self.protocol, "1")
        self.assertEqual(self.handler.refs, ["1"])

    def test_what_waits_counts(self) -> None:
        """Complete messages that wait for the end of a pause are held as well."""
        self.begin(self.other, "2")
        self.handler.answer = lambda message: self.factory.read(False)
        self.receive(beats(0, 1))
        self.assertTrue(self.protocol._complete)
        self.handler.answer = acked
        self.read(True)
        self.assertEqual((self.handler.refs, self.transport.producerState), (["0"], "paused"))
        self.end(self.other, "2")
        self.clock.advance(0)
        self.assertEqual(self.handler.refs, ["0", "2", "1"])


class RefusedTests(FlowTestCase):
    """Connections past the limit."""

    def test_not_read_from(self) -> None:
        """Their input is not read."""
        self.protocol.spoken, self.factory._max_connections = True, 1
        _, transport = self.connect()
        self.assertEqual(transport.producerState, "paused")
        self.assertIn(b"too_many_connections", transport.value())

    def test_not_admitted(self) -> None:
        """Who is not admitted yet takes no place, and is no connection for anybody until then."""
        self.connection_events.admits = lambda identity: False  # type: ignore[method-assign]
        before = list(self.connection_events.seen)
        strangers = [self.connect()[0] for _ in range(3)]
        self.assertEqual([each.admitted for each in strangers], [False] * 3)
        self.assertEqual((len(self.factory.connections), len(self.factory.outside)), (1, 3))
        self.assertEqual(self.connection_events.seen, before)
        self.assertTrue(strangers[0].enter())
        self.assertEqual((len(self.factory.connections), len(self.factory.outside)), (2, 2))
        self.clock.advance(1e6)
        self.assertEqual(len(self.factory.outside), 0)

    def test_bounded(self) -> None:
        """A limited number stays open; beyond it the oldest is closed immediately."""
        self.protocol.spoken, self.factory._max_connections = True, 1
        transports = [self.connect()[1] for _ in range(MAX_REFUSED + 2)]
        self.clock.advance(0)
        self.assertEqual([each.disconnecting for each in transports[:4]], [True, True, False, False])
        self.assertEqual(len(self.factory.outside), MAX_REFUSED)
        self.assertEqual(len(self.clock.getDelayedCalls()), MAX_REFUSED)


class MemoryTests(FlowTestCase):
    """No object of a connection outlives it, even without a run of the garbage collector."""

    def setUp(self) -> None:
        super().setUp()
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)

    def let_go(self) -> list[Any]:
        """Objects of the connection that are alive once the test has dropped it."""
        objects = (self.protocol, self.protocol._framer, self.protocol._outbox, self.transport)
        alive = [weakref.ref(each) for each in objects if not hasattr(type(each), "__slots__")]
        self.assertGreaterEqual(len(alive), 3)
        self.protocol.connectionLost(Failure(ConnectionAborted()))
        del objects, self.protocol, self.transport
        self.clock.advance(0)
        return [each() for each in alive if each() is not None]

    def test_idle(self) -> None:
        """A connection that has said something and was answered."""
        self.receive(beats(1, 2))
        self.assertEqual(self.let_go(), [])

    def test_slow_reader(self) -> None:
        """One that was disconnected for not reading, in the middle of a message and with others waiting."""
        self.transport.room = 1000
        self.receive(beats(*range(MANY)) + beat("last")[:40])
        self.pass_by(PATIENCE + 1)
        self.assertEqual(self.let_go(), [])

    def test_answers_owed(self) -> None:
        """While a reply is pending only the protocol is alive, without its buffers."""
        owed = self.owe()
        self.receive(beats("owed"))
        self.handler.answer = acked
        self.receive(beats(*range(MANY)) + beat("last")[:40])
        buffers = [
            weakref.ref(self.protocol._framer),
            weakref.ref(self.protocol._outbox),
            weakref.ref(self.transport),
        ]
        self.protocol.connectionLost(Failure(ConnectionAborted()))
        protocol = weakref.ref(self.protocol)
        del self.protocol, self.transport
        self.clock.advance(0)
        self.assertEqual(protocol()._framer.held, 0)  # type: ignore[union-attr]
        self.assertIsNone(buffers[0]())
        self.assertIsNone(buffers[2]())
        deferred: Deferred[Any] = owed.pop("owed")
        deferred.callback(Ack("heartbeat", "owed"))
        del deferred
        self.assertIsNone(protocol())
        self.assertIsNone(buffers[1]())
        self.assertEqual(self.factory._owed.total, 0)
