"""How often something may happen."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.rate import Rate


def at_once(rate: Rate, now: float) -> int:
    """How often it may happen at *now*."""
    count = 0
    while rate.wait(now) == 0:
        rate.count(now)
        count += 1
    return count


class RateTests(SynchronousTestCase):
    """Rate."""

    def test_a_burst_and_an_even_pace(self) -> None:
        """A second's worth at once; then each interval one, and after a second the same again."""
        for per_second in (1, 3, 10, 997):
            rate = Rate(per_second)
            self.assertEqual(at_once(rate, 5.0), per_second)
            self.assertEqual(at_once(rate, 5.0 + 1.01 / per_second), 1)
            self.assertEqual(at_once(rate, 90.0), per_second)
            self.assertEqual(at_once(rate, 90.0 + 2.51 / per_second), min(per_second, 3))

    def test_the_wait_is_enough(self) -> None:
        """After it, it may happen."""
        rate = Rate(4)
        at_once(rate, 1.0)
        wait = rate.wait(1.0)
        self.assertTrue(0 < wait <= 0.25)
        self.assertEqual(rate.wait(1.0 + wait), 0)

    @given(st.integers(1, 100), st.lists(st.floats(0, 0.5), max_size=50))
    def test_the_average(self, per_second: int, steps: "list[float]") -> None:
        """From any moment on, no more than a second's worth and what the time since allows."""
        rate, now, happened = Rate(per_second), 0.0, []
        for step in [*steps, 0.0]:
            now += step
            happened += [now] * at_once(rate, now)
        for first in range(len(happened)):
            allowed = per_second * (1 + happened[-1] - happened[first]) + 1
            self.assertLessEqual(len(happened) - first, allowed)
