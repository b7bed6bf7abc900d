"""Counters and histograms as plain numbers, which become Prometheus metrics only at a scrape.

Those of ``prometheus_client`` look up labels and take locks for each event, which costs more than validating a
message. These are used in the reactor's thread only.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Tally(Collector):
    """A counter for each combination of *labels*.

    Counters for the values *known* of the only label, or of all labels, exist from the start: of a counter that
    appears with its first event, Prometheus' increase() misses that event.
    """

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        registry: CollectorRegistry,
        known: Iterable[str | tuple[str, ...]] = (),
    ) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._counts: Counter[tuple[str, ...]] = Counter(
            {(value if isinstance(value, tuple) else (str(value),)): 0 for value in known}
        )
        if not labels:
            self._counts[()] = 0
        registry.register(self)

    def add(self, *values: str, count: int = 1) -> None:
        """Add *count* to the counter of these values of the labels."""
        self._counts[values] += count

    def collect(self) -> list[Metric]:
        """See :class:`prometheus_client.registry.Collector`."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, count in self._counts.items():
            family.add_metric(values, count)
        return [family]


class _Histogram:
    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.sum = 0.0


class Durations(Collector):
    """A histogram of seconds, with upper *bounds*, for each combination of *labels*."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name, self._text, self._labels, self._bounds = name, text, labels, bounds
        self._histograms: defaultdict[tuple[str, ...], _Histogram] = defaultdict(lambda: _Histogram(len(bounds) + 1))
        if not labels:
            self._histograms[()]
        registry.register(self)

    def add(self, seconds: float, *values: str, times: int = 1) -> None:
        """Record *seconds*, which occurred so many *times*; negative values count as zero."""
        histogram = self._histograms[values]
        histogram.counts[bisect_left(self._bounds, seconds)] += times
        if seconds > 0:
            histogram.sum += seconds * times

    def collect(self) -> list[Metric]:
        """See :class:`prometheus_client.registry.Collector`."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for values, histogram in self._histograms.items():
            sums = map(float, accumulate(histogram.counts))
            family.add_metric(values, list(zip(names, sums, strict=True)), histogram.sum)
        return [family]
