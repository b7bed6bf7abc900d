"""A connection whose messages arrive faster than SOCKET_MESSAGE_RATE allows."""

from copilot_socket.event_bus import ErrorsSent
from copilot_socket.wire.limits import RATE_PAUSE, Pause
from tests.wire.connection import ProtocolTestCase, beat, beats

NUMBERS = range(1, 46)


class RateTests(ProtocolTestCase):
    """Ten messages a second are allowed."""

    rate = 10

    def test_none_is_lost(self) -> None:
        """A second's worth is handled at once, the others in their order at the rate; the client is told once."""
        self.receive(beats(*NUMBERS))
        self.assertEqual((len(self.handler.refs), self.transport.producerState), (10, "paused"))
        seconds = 0.0
        while len(self.handler.refs) < len(NUMBERS):
            self.clock.advance(RATE_PAUSE)
            self.clock.advance(0)
            seconds += RATE_PAUSE
        self.assertAlmostEqual(seconds, 3.5, delta=0.2)
        self.assertEqual(self.handler.refs, [str(number) for number in NUMBERS])
        self.assertEqual(self.transport.producerState, "producing")
        self.assertEqual([each for each in self.sent() if not each.isdecimal()], ["rate_limited"])
        self.assertEqual(sum(isinstance(change, ErrorsSent) for change in self.events), 1)

    def test_at_the_rate(self) -> None:
        """Nothing is said, and reading goes on."""
        for number in NUMBERS:
            self.receive(beat(number))
            self.assertEqual(self.transport.producerState, "producing")
            self.clock.advance(0.1)
        self.assertEqual(self.sent(), [str(number) for number in NUMBERS])

    def test_exactly_a_burst(self) -> None:
        """There is nothing behind it that would have to wait."""
        self.receive(beats(*range(10)))
        self.assertEqual((len(self.sent()), self.protocol.pauses), (10, set()))

    def test_white_space_behind_a_burst(self) -> None:
        """It is no message."""
        self.receive(beats(*range(10)) + b"\n \r\n ")
        self.assertEqual((len(self.sent()), self.protocol.pauses), (10, set()))

    def test_bad_messages_count(self) -> None:
        """They cost the server as much."""
        self.receive(b'{"type": "x"}\n' * 5 + b"no\n" * 5 + beats(1, 2))
        self.assertEqual((self.handler.refs, self.protocol.pauses), ([], {Pause.RATE}))

    def test_others_are_not_slowed_down(self) -> None:
        """The rate is that of each connection."""
        self.receive(beats(*NUMBERS))
        self.protocol, self.transport = self.connect()
        self.receive(beats(*range(101, 105)))
        self.assertEqual(self.sent(), ["101", "102", "103", "104"])

    def test_closed_during_a_pause(self) -> None:
        """No timer is left."""
        self.receive(beats(*NUMBERS))
        self.protocol.close("enough")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.handler.refs), 10)


class NoRateTests(ProtocolTestCase):
    """None is set."""

    def test_as_many_as_come(self) -> None:
        """All are handled in one turn."""
        self.receive(beats(*NUMBERS))
        self.assertEqual(len(self.handler.refs), len(NUMBERS))
