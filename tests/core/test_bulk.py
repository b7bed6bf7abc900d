"""Bulk acts: their states, and the sizes of their slices."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.bulk import FIRST_SLICE, MOST, REST, SLICE_SECONDS, Action, Pace
from copilot_socket.core.jobs import TERMINAL, Status
from copilot_socket.core.retry import RetryPolicy
from copilot_socket.core.transitions import Job, Transition, decide


class ActionTests(SynchronousTestCase):
    """What each action applies to."""

    def test_states(self) -> None:
        """An action applies to exactly the states in which the state machine allows its event."""
        for action in Action:
            if action.event is None:
                self.assertEqual((action, action.states), (Action.DELETE, TERMINAL))
                continue
            for status in Status:
                allowed = isinstance(decide(Job(status), action.event, RetryPolicy(), 0.5), Transition)
                self.assertEqual(status in action.states, allowed, f"{action} of {status}")


class SliceTests(SynchronousTestCase):
    """Sizes."""

    @given(st.integers(FIRST_SLICE, MOST), st.floats(1e-7, 100))
    def test_converges(self, size: int, each: float) -> None:
        """From any size, a few slices reach the largest one that takes no longer than it should."""
        pace = Pace(size)
        for _ in range(12):
            took = pace.size * each
            self.assertEqual(pace.rest(took), max(took, REST))
            self.assertTrue(FIRST_SLICE <= pace.size <= MOST)
        best = min(MOST, SLICE_SECONDS / each)
        self.assertTrue(
            pace.size == FIRST_SLICE or best / 1.5 - 1 <= pace.size <= best * 1.5 + 1, f"{pace.size}, best {best}"
        )

    def test_nothing_locked(self) -> None:
        """A slice that held no locks says nothing of the next one's size."""
        pace = Pace()
        self.assertEqual((pace.rest(0.0), pace.size), (REST, FIRST_SLICE))
