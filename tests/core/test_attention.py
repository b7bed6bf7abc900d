"""The clock that silence is measured with."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.attention import Attention


class AttentionTests(SynchronousTestCase):
    """Only time in which the node was reading counts."""

    def test_it_runs_with_the_clock(self) -> None:
        """Regular ticks add up."""
        attention = Attention(1.0)
        for second in range(11):
            attention.tick(100.0 + second)
        self.assertEqual(attention.now, 10.0)

    def test_a_stall_is_no_silence(self) -> None:
        """A node that stood still for a minute has listened for two intervals at most."""
        attention = Attention(1.0)
        attention.tick(0.0)
        self.assertEqual(attention.tick(60.0), 2.0)

    def test_paused_time_is_no_silence(self) -> None:
        """While the database is away nobody is listened to."""
        attention = Attention(1.0)
        attention.tick(0.0)
        attention.pause(0.5)
        for second in range(1, 30):
            attention.tick(float(second))
        attention.resume(30.0)
        self.assertEqual(attention.tick(30.5), 1.0)

    @settings(suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
    @given(st.lists(st.floats(0, 100), max_size=20))
    def test_never_ahead_of_the_clock(self, steps: list[float]) -> None:
        """Attention never counts more than has passed."""
        attention, clock = Attention(1.0), 0.0
        attention.tick(clock)
        for step in steps:
            clock += step
            attention.tick(clock)
        self.assertLessEqual(attention.now, clock + 1e-9)
