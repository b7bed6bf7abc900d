"""Long work runs beside the messages of other connections, a step a turn, and in order."""

import json
from typing import Any

from benchmarks.worst import GOOD, message, worst
from copilot_socket.core.messages import JobsDiscovered, Message
from copilot_socket.core.replies import Ack
from copilot_socket.wire import turn as turn_module
from copilot_socket.wire.inspection import MAX_FAULTS
from copilot_socket.wire.items import PARSED_WHOLE
from copilot_socket.wire.limits import DEFERRED, MAX_OWED
from copilot_socket.wire.protocol import BAD_MESSAGE_COST, MAX_BAD_MESSAGES, MESSAGES_PER_TURN, CrawlerProtocol
from tests.wire.connection import ProtocolTestCase, Transport, acked, beat, beats, turn

LIMIT = 4 * PARSED_WHOLE
READ = 65536
"""Bytes of one read of a transport."""
DISCOVERED = message(
    "jobs_discovered", "J.1.x", {"discovered_jobs": b"[" + b"1," * 100_000 + GOOD["jobs_discovered"] + b"]"}
)
"""Much work, most of it for bad elements."""
SOME_BAD = message(
    "jobs_discovered", "J.1.x", {"discovered_jobs": b"[" + b"1," * 50 + GOOD["jobs_discovered"] + b"]"}
)


class SlowTestCase(ProtocolTestCase):
    """Two connections, and turns in which of the slow work one step is done."""

    limit = LIMIT

    def setUp(self) -> None:
        super().setUp()
        self.patch(turn_module, "SLICE", 0.0)
        self.other_transport = Transport()
        self.other: CrawlerProtocol = self.factory.buildProtocol(None)
        self.other.makeConnection(self.other_transport)

    def read_all(self, data: bytes) -> None:
        """Receive *data*, one read in each turn, while the transport reads."""
        for at in range(0, len(data), READ):
            self.assertEqual(self.transport.producerState, "producing")
            self.protocol.dataReceived(data[at : at + READ])
            turn(self.clock)

    def turns_until(self, ref: str) -> int:
        """The turns that it takes until *ref* is handled; in each of them the neighbour is answered."""
        turns = 0
        while ref not in self.handler.refs:
            turns += 1
            self.assertLess(turns, 10_000)
            self.other_transport.clear()
            self.other.dataReceived(beat(f"n{turns}"))
            turn(self.clock)
            self.assertEqual(self.other_transport.value().count(b"\n"), 1)
        return turns


class LargeTests(SlowTestCase):
    """Messages that are decoded in steps."""

    def test_neighbours_are_served(self) -> None:
        """Others are answered in the turn in which they speak, all the while."""
        self.read_all(DISCOVERED)
        self.assertGreater(self.turns_until("worst"), len(DISCOVERED) // 1024)
        self.assertIn(b'"ref":"worst"', self.transport.value())

    def test_later_messages_wait(self) -> None:
        """Order is kept: what was said behind is handled and answered behind, and nothing is read meanwhile."""
        self.read_all(DISCOVERED + beats(1, 2))
        self.assertEqual((self.handler.refs, self.transport.producerState), ([], "paused"))
        self.turns_until("2")
        mine = [ref for ref in self.handler.refs if not ref.startswith("n")]
        self.assertEqual(mine, ["worst", "1", "2"])
        errors = ["invalid_message worst"] * (MAX_FAULTS + 1)
        self.assertEqual(self.sent(), [*errors, "worst", "1", "2"])
        self.assertEqual(self.transport.producerState, "producing")

    def test_two_take_turns(self) -> None:
        """Long work of two connections advances in turns."""
        self.read_all(DISCOVERED)
        for at in range(0, len(DISCOVERED), READ):
            self.other.dataReceived(DISCOVERED[at : at + READ].replace(b'"id":"worst"', b'"id":"other"'))
            turn(self.clock)
        turns = {}
        for number in range(5000):
            turn(self.clock)
            turns |= {ref: number for ref in self.handler.refs if ref not in turns}
        self.assertEqual(set(turns), {"worst", "other"})
        self.assertLess(abs(turns["worst"] - turns["other"]), 20)

    def test_alive_meanwhile(self) -> None:
        """A crawler whose message is being looked at is not silent."""
        self.read_all(DISCOVERED)
        before = self.handler.lived
        self.turns_until("worst")
        self.assertGreater(self.handler.lived, before + 100)

    def test_data_that_was_read_before(self) -> None:
        """What comes in before the transport has stopped waits behind."""
        self.read_all(DISCOVERED)
        for part in (beat(1)[:50], beat(1)[50:]):
            self.protocol.dataReceived(part)
            turn(self.clock)
        self.turns_until("1")
        self.assertEqual([ref for ref in self.handler.refs if not ref.startswith("n")], ["worst", "1"])

    def test_reading_stops_and_goes_on(self) -> None:
        """If the node stops reading meanwhile, the message at hand is the last one until it goes on."""
        self.read_all(DISCOVERED + beats(1))
        self.factory.read(False)
        for _ in range(5000):
            turn(self.clock)
        self.assertEqual((self.handler.refs, self.transport.producerState), (["worst"], "paused"))
        self.factory.read(True)
        turn(self.clock)
        self.assertEqual((self.handler.refs, self.transport.producerState), (["worst", "1"], "producing"))

    def test_reading_stops_and_goes_on_in_between(self) -> None:
        """And if it has gone on before the message is done, nothing more is read before."""
        self.read_all(DISCOVERED)
        self.factory.read(False)
        turn(self.clock)
        self.factory.read(True)
        turn(self.clock)
        self.assertEqual(self.transport.producerState, "paused")
        self.turns_until("worst")
        turn(self.clock)
        self.assertEqual(self.transport.producerState, "producing")

    def test_enough_answers_in_between(self) -> None:
        """A connection that was owed much and has had it is still not read from before the message is done."""
        owed = self.owe()
        most = MAX_OWED // (1 + DEFERRED)
        self.receive(beats(*range(most)))
        for _ in range(10):
            turn(self.clock)
        self.assertEqual((len(self.handler.refs), self.transport.producerState), (most, "paused"))
        for ref in range(most * 3 // 5):
            owed[str(ref)].callback(None)
        self.handler.answer = acked
        turn(self.clock)
        self.assertEqual(self.transport.producerState, "producing")
        self.read_all(DISCOVERED)
        for ref in range(most * 3 // 5, most):
            owed[str(ref)].callback(None)
        self.assertEqual(self.transport.producerState, "paused")

    def test_connection_lost(self) -> None:
        """The rest of what a lost connection said is not looked at."""
        self.read_all(DISCOVERED)
        self.protocol.connectionLost()
        for _ in range(5000):
            turn(self.clock)
        self.assertEqual((self.handler.refs, self.clock.getDelayedCalls()), ([], []))

    def test_connection_closed(self) -> None:
        """Nor that of one that was closed."""
        self.read_all(DISCOVERED)
        self.protocol.close("enough")
        for _ in range(5000):
            turn(self.clock)
        self.assertEqual((self.handler.refs, self.transport.disconnecting), ([], True))

    def test_a_fault_of_the_server(self) -> None:
        """It ends its connection, and disturbs no other."""
        self.read_all(DISCOVERED)
        turn(self.clock)
        self.patch(self.protocol, "_slow", (1 / 0 for _ in "x"))
        turn(self.clock)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(self.transport.disconnecting)
        self.other.dataReceived(beat("n"))
        turn(self.clock)
        self.assertEqual(self.handler.refs, ["n"])

    def test_every_type_at_its_worst(self) -> None:
        """Each is answered, by an error, an ack or both, in few bytes; and the node goes on."""

        def made(message: Message) -> Ack:
            self.assertIsNotNone(message.data)
            return acked(message)

        self.handler.answer = made
        self.patch(turn_module, "SLICE", 1.0)
        for name, data in worst(PARSED_WHOLE + 4096, "J.1.x"):
            self.transport.clear()
            for at in range(0, len(data), READ):
                self.receive(data[at : at + READ])
            answers = [json.loads(line) for line in self.transport.value().splitlines()]
            self.assertTrue(0 < len(answers) <= MAX_FAULTS + 2, name)
            self.assertLess(len(self.transport.value()), 100_000, name)
            self.assertNotIn("internal", [answer["data"].get("code") for answer in answers], name)
            self.protocol.bad_in_a_row = 0
        self.assertEqual(self.flushLoggedErrors(), [])


class ManyTests(SlowTestCase):
    """Many small messages in one read."""

    def handled(self, data: bytes) -> list[int]:
        """Messages handled in each turn until all of *data* is handled."""
        self.protocol.dataReceived(data)
        counts, before = [], 0
        while self.clock.getDelayedCalls():
            turn(self.clock)
            mine = len(self.handler.refs)
            counts.append(mine - before)
            before = mine
        return counts

    def test_good_ones(self) -> None:
        """A limited number is handled before other connections are served."""
        number = 3 * MESSAGES_PER_TURN + 100
        counts = self.handled(beats(*range(number)))
        self.assertEqual(
            [count for count in counts if count], [MESSAGES_PER_TURN, MESSAGES_PER_TURN, MESSAGES_PER_TURN, 100]
        )
        self.assertEqual(self.handler.refs, list(map(str, range(number))))

    def test_as_many_as_are_dealt_with_at_once(self) -> None:
        """They need no second turn."""
        self.protocol.dataReceived(beats(*range(MESSAGES_PER_TURN)))
        turn(self.clock)
        self.assertEqual((len(self.handler.refs), self.transport.producerState), (MESSAGES_PER_TURN, "producing"))

    def test_bad_ones_among_good_ones(self) -> None:
        """A bad one counts for several, for an answer to it costs more."""
        group = b"{}" * (MAX_BAD_MESSAGES - 1) + beat(1)
        for bad in (b"{}", b"x\n", b'{"type":"?","timestamp":"t"}'):
            counts = self.handled(group.replace(b"{}", bad) * 100)
            self.handler.refs.clear()
            self.assertEqual(sum(counts), 100)
            self.assertLessEqual(
                max(counts), 2 * (MESSAGES_PER_TURN // (BAD_MESSAGE_COST * (MAX_BAD_MESSAGES - 1)) + 1)
            )

    def test_small_ones_with_bad_elements(self) -> None:
        """Each takes a step of its own, however small it is: its answers are many."""
        counts = self.handled(SOME_BAD * 60)
        self.assertEqual((sum(counts), max(counts)), (60, 1))
        answers: list[Any] = [json.loads(line) for line in self.transport.value().splitlines()]
        self.assertEqual(len(answers), 60 * 51)

    def test_the_good_elements_arrive(self) -> None:
        """Among all that is wrong."""
        seen: list[Any] = []

        def look(message: Message) -> Ack:
            seen.append(message.data)
            return acked(message)

        self.handler.answer = look
        self.read_all(DISCOVERED)
        self.turns_until("worst")
        found = [data for data in seen if isinstance(data, JobsDiscovered)]
        self.assertEqual([[one.full_path for one in data.discovered_jobs] for data in found], [["worst"]])

    def test_what_waits_takes_little_room(self) -> None:
        """Of a long read not much is parsed before its turn has come."""
        self.protocol.dataReceived(b'{"type":"heartbeat"}{}' * 3000)
        turn(self.clock)
        self.assertLess(len(self.protocol._framer.ready), 2000)
        self.assertLessEqual(self.protocol._framer.held, 66_000)
