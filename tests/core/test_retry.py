"""Back-off with full jitter."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.retry import RetryPolicy, full_jitter


class RetryTests(SynchronousTestCase):
    """How long a job waits."""

    @given(st.integers(0, 10_000), st.floats(0, 0.999999))
    def test_within_bounds(self, exponent: int, jitter: float) -> None:
        """Never negative, never past the cap, for any number of failures."""
        self.assertTrue(0 <= full_jitter(exponent, 5.0, 600.0, jitter) < 600.0)

    def test_the_bound_doubles(self) -> None:
        """5, 10, 20 seconds, until the cap."""
        policy = RetryPolicy(base=5.0, cap=15.0)
        self.assertEqual([policy.after_failure(n, 1.0) for n in (1, 2, 3, 4)], [5.0, 10.0, 15.0, 15.0])

    def test_jitter_is_full(self) -> None:
        """The wait may be any value from zero to the bound."""
        policy = RetryPolicy(base=8.0)
        self.assertEqual([policy.after_failure(1, jitter) for jitter in (0.0, 0.25, 0.5)], [0.0, 2.0, 4.0])
