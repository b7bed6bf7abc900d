"""The reading clock, which silence is measured with."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.reading_clock import ReadingClock


class ReadingClockTests(SynchronousTestCase):
    """Only time in which the node was reading counts."""

    def test_it_runs_with_the_clock(self) -> None:
        """Regular ticks add up."""
        reading_clock = ReadingClock(1.0)
        for second in range(11):
            reading_clock.tick(100.0 + second)
        self.assertEqual(reading_clock.now, 10.0)

    def test_a_stall_is_no_silence(self) -> None:
        """Of a minute in which the node was blocked, two intervals count at most."""
        reading_clock = ReadingClock(1.0)
        reading_clock.tick(0.0)
        self.assertEqual(reading_clock.tick(60.0), 2.0)

    def test_paused_time_is_no_silence(self) -> None:
        """The clock does not run while it is paused."""
        reading_clock = ReadingClock(1.0)
        reading_clock.tick(0.0)
        reading_clock.pause(0.5)
        for second in range(1, 30):
            reading_clock.tick(float(second))
        reading_clock.resume(30.0)
        self.assertEqual(reading_clock.tick(30.5), 1.0)

    @given(st.lists(st.floats(0, 100), max_size=20))
    def test_never_ahead_of_the_clock(self, steps: list[float]) -> None:
        """It never counts more than has passed."""
        reading_clock, clock = ReadingClock(1.0), 0.0
        reading_clock.tick(clock)
        for step in steps:
            clock += step
            reading_clock.tick(clock)
        self.assertLessEqual(reading_clock.now, clock + 1e-9)
