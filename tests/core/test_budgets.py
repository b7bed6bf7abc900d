"""Budgets of requests: when they close, how many jobs they pay for, and when they are forgotten."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.budgets import FIRST_COST, LONGEST, UNKNOWN, Budget, BudgetReport

NOW = 1_000_000.0


def said(
    remaining: int | None, limit: int | None = 1000, reset: float | None = 60.0, at: float = NOW
) -> BudgetReport:
    """What GitLab says at a time; the reset lies so many seconds ahead."""
    return BudgetReport(at, remaining, limit, None if reset is None else at + reset)


class ExampleTests(SynchronousTestCase):
    """Budget.after(), .allows() and .until()."""

    def test_shares(self) -> None:
        """Half of it left is no matter; below that it pays for so many jobs; below a tenth it is closed."""
        for remaining, allowed in ((500, None), (499, 49), (100, 10), (99, 0), (0, 0)):
            budget = Budget().after(said(remaining))
            self.assertEqual(budget.allows(NOW), allowed, remaining)
        self.assertEqual(FIRST_COST, 10.0)

    def test_it_ends_with_its_window(self) -> None:
        """At the reset nothing of it is left."""
        budget = Budget().after(said(5))
        self.assertEqual(budget.until(NOW), NOW + 60)
        self.assertEqual((budget.allows(NOW + 59.9), budget.allows(NOW + 60)), (0, None))
        self.assertIsNone(budget.until(NOW + 60))

    def test_resets_that_make_no_sense(self) -> None:
        """In the past or not said: a minute; a year ahead: an hour."""
        for reset, until in ((None, UNKNOWN), (-5.0, UNKNOWN), (0.0, UNKNOWN), (31e6, LONGEST), (0.2, 1.0)):
            self.assertEqual(Budget().after(said(0, reset=reset)).until(NOW), NOW + until, reset)

    def test_numbers_that_make_no_sense(self) -> None:
        """Without a limit, or with one of 0, the most that was left counts; more than the limit is the limit."""
        for limit in (None, 0):
            budget = Budget().after(said(1000, limit))
            self.assertIsNone(budget.allows(NOW))
            self.assertEqual(budget.after(said(90, limit)).allows(NOW), 0)
        self.assertIsNone(Budget().after(said(5000, 10)).allows(NOW))
        self.assertEqual(Budget().after(said(0, 0, None)).allows(NOW), 0)

    def test_late_reports(self) -> None:
        """Within a window the least counts; of a window before, nothing; a later one replaces it."""
        budget = Budget().after(said(5)).after(said(800))
        self.assertEqual(budget.allows(NOW), 0)
        self.assertEqual(budget.after(said(900, reset=20)).allows(NOW), 0)
        later = budget.after(said(900, at=NOW + 50, reset=60))
        self.assertIsNone(later.allows(NOW + 50))
        self.assertIsNone(later.after(BudgetReport(NOW + 51, 5, 1000, NOW + 60)).allows(NOW + 51))

    def test_a_reset_that_stays_unknown(self) -> None:
        """A window is a minute then: within it the least counts, and it is not prolonged."""
        budget = Budget()
        for second, remaining in ((0, 900), (20, 5), (40, 800), (59, 700)):
            budget = budget.after(said(remaining, reset=None, at=NOW + second))
        self.assertEqual((budget.allows(NOW + 59), budget.until(NOW + 59)), (0, NOW + 60))
        budget = budget.after(said(600, reset=None, at=NOW + 61))
        self.assertEqual((budget.allows(NOW + 61), budget.remaining, budget.reset_at), (None, 600, NOW + 121))

    def test_reports_without_a_reset(self) -> None:
        """They belong to the window that was named before, and open nothing."""
        budget = Budget().after(said(0, reset=600))
        for reset in (None, -30.0):
            later = budget.after(said(1900, reset=reset, at=NOW + 10))
            self.assertEqual((later.allows(NOW + 10), later.until(NOW + 10)), (0, NOW + 600))

    def test_too_many_requests(self) -> None:
        """Closed for as long as GitLab asks, a minute where it does not, an hour at most."""
        for retry_after, until in ((5.0, 5.0), (None, UNKNOWN), (1e6, LONGEST), (0.0, 1.0)):
            budget = Budget().after(BudgetReport(NOW, retry_after=retry_after))
            self.assertEqual((budget.allows(NOW), budget.until(NOW)), (0, NOW + until))
            self.assertIsNone(budget.allows(NOW + until))
        longer = Budget().after(BudgetReport(NOW, retry_after=50.0)).after(BudgetReport(NOW, retry_after=5.0))
        self.assertEqual(longer.allows(NOW + 49), 0)
        self.assertEqual(longer.after(said(1000)).allows(NOW + 49), 0)

    def test_what_a_job_costs(self) -> None:
        """The average moves with what was spent between two times, once jobs have ended."""
        budget = Budget().after(said(900)).after(said(800))
        self.assertEqual((budget.spent, budget.cost), (100, None))
        budget = budget.after(BudgetReport(NOW, 600, 1000, NOW + 60, jobs=3))
        self.assertEqual((budget.spent, budget.cost), (0, 100.0))
        budget = budget.after(BudgetReport(NOW, 400, 1000, NOW + 60, jobs=1))
        self.assertAlmostEqual(budget.cost or 0, 130.0)
        self.assertEqual(budget.allows(NOW), 3)
        dear = Budget(1000, 300, NOW + 60, cost=1e6)
        self.assertEqual(dear.allows(NOW), 1)

    def test_another_window_costs_nothing(self) -> None:
        """What was left before is not compared with it."""
        budget = Budget().after(said(900)).after(BudgetReport(NOW + 61, 100, 1000, NOW + 120, jobs=1))
        self.assertEqual((budget.spent, budget.cost), (0, None))


_NUMBERS = st.none() | st.integers(0, 2**53)
_WORDS = st.tuples(
    st.floats(0, 1000),
    _NUMBERS,
    _NUMBERS,
    st.none() | st.floats(-1e9, 1e9),
    st.none() | st.floats(0, 1e9),
    st.integers(0, 100),
)
"""Seconds since the report before, and what it says; the reset lies so many seconds ahead."""


def _history(
    words: list[tuple[float, int | None, int | None, float | None, float | None, int]],
) -> list[BudgetReport]:
    at, reports = NOW, []
    for seconds, remaining, limit, reset, retry_after, jobs in words:
        at += seconds
        reports.append(BudgetReport(at, remaining, limit, None if reset is None else at + reset, retry_after, jobs))
    return reports


HISTORIES = st.lists(_WORDS, min_size=1, max_size=10).map(_history)


class PropertyTests(SynchronousTestCase):
    """Whatever is said."""

    @given(HISTORIES)
    def test_it_opens_again(self, history: list[BudgetReport]) -> None:
        """No later than an hour after the last word; and never changes between the times that it names."""
        budget = Budget()
        for each in history:
            budget = budget.after(each)
        now = history[-1].at
        for _ in range(4):
            until = budget.until(now)
            if until is None:
                break
            self.assertLess(now, until)
            self.assertEqual(budget.allows((now + until) / 2), budget.allows(now))
            now = until
        self.assertLessEqual(now, history[-1].at + LONGEST)
        self.assertIsNone(budget.allows(now))

    @given(HISTORIES, st.integers(1, 10**6), st.integers(0, 99))
    def test_a_low_one_closes(self, history: list[BudgetReport], limit: int, percent: int) -> None:
        """Less than a tenth of a window that is not over starts nothing until that ends."""
        budget = Budget()
        for each in history:
            budget = budget.after(each)
        at = history[-1].at
        remaining = limit * percent // 1000
        latest = max(budget.reset_at, at + 60.0)
        budget = budget.after(BudgetReport(at, remaining, limit, latest))
        if remaining * 10 < limit:
            self.assertEqual(budget.allows(at), 0)
