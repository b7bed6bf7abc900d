"""Histograms: what their quantiles say of the durations, and how they add up."""

from math import ceil

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.histograms import BOUNDS, Histogram

_DURATIONS = st.lists(st.floats(0, 1e6), min_size=1, max_size=50)
_STEP = 10 ** (1 / 5)


def histogram(durations: list[float]) -> Histogram:
    """One of *durations*."""
    made = Histogram()
    for seconds in durations:
        made.add(seconds)
    return made


class HistogramTests(SynchronousTestCase):
    """Histogram."""

    @given(_DURATIONS, st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]))
    def test_quantiles(self, durations: list[float], share: float) -> None:
        """An estimate is in the bucket of the true quantile, and not over the longest."""
        true = sorted(durations)[ceil(share * len(durations)) - 1]
        estimate = histogram(durations).quantile(share)
        self.assertLessEqual(estimate, max(durations))
        if true > BOUNDS[-1]:
            self.assertGreaterEqual(estimate, BOUNDS[-1])
        else:
            self.assertLessEqual(estimate, max(true * _STEP, BOUNDS[0]) * 1.000001)
            self.assertGreaterEqual(estimate * _STEP * 1.000001, true if true > BOUNDS[0] else 0)

    @given(_DURATIONS, _DURATIONS)
    def test_sums(self, some: list[float], others: list[float]) -> None:
        """Two histograms together are that of all durations."""
        both, whole = histogram(some).plus(histogram(others)), histogram(some + others)
        self.assertEqual((both.counts, both.longest), (whole.counts, whole.longest))
        self.assertApproximates(both.seconds, whole.seconds, 1e-6 * whole.seconds + 1e-9)

    def test_summary(self) -> None:
        """Without durations there is nothing to say; else the values are those of the durations."""
        self.assertEqual(set(Histogram().summary().values()), {0, None})
        self.assertEqual(Histogram().quantile(0.5), 0)
        shown = histogram([1.0] * 98 + [50.0, -3.0]).summary()
        self.assertEqual((shown["count"], shown["max"]), (100, 50.0))
        self.assertEqual(shown["mean"], 1.48)
        for name, low, high in (("p50", 0.63, 1.0), ("p95", 0.63, 1.0), ("p99", 0.63, 50.0)):
            self.assertTrue(low <= float(shown[name] or 0) <= high, (name, shown))
