"""The metrics of messages: counted in plain integers and put into form only when somebody looks.

A counter of ``prometheus_client`` takes a lock and looks its labels up for every message, which costs more than
validating it.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Durations:
    """How long messages of one type took: a histogram with upper *bounds* in seconds."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float, count: int) -> None:
        """*count* messages took so long each."""
        self._counts[bisect_left(self._bounds, seconds)] += count
        self._sum += seconds * count

    def add_to(self, family: HistogramMetricFamily, labels: list[str]) -> None:
        """Put the sums so far into *family*."""
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        sums = map(float, accumulate(self._counts))
        family.add_metric(labels, list(zip(names, sums, strict=True)), self._sum)


class MessageMetrics(Collector):
    """How many messages of each type there were, with what outcome, and how long they took."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._handled: Counter[tuple[str, str]] = Counter()
        self._durations: dict[str, Durations] = {}

    def count(self, type_: str, outcome: str, seconds: float, count: int) -> None:
        """*count* messages of *type_* had *outcome* after *seconds* each."""
        self._handled[type_, outcome] += count
        durations = self._durations.get(type_)
        if durations is None:
            durations = self._durations[type_] = Durations(self._bounds)
        durations.observe(seconds, count)

    def collect(self) -> list[Metric]:
        """See :class:`prometheus_client.registry.Collector`."""
        handled = CounterMetricFamily("socket_messages_processed", "Messages dealt with", labels=["type", "outcome"])
        errors = CounterMetricFamily("socket_errors", "Error replies, by code", labels=["code"])
        seconds = HistogramMetricFamily(
            "socket_processing_duration_seconds", "From reading a message to its answer", labels=["type"]
        )
        by_code: Counter[str] = Counter()
        for (type_, outcome), count in self._handled.items():
            handled.add_metric([type_, outcome], count)
            if outcome != "ok":
                by_code[outcome] += count
        for code, count in by_code.items():
            errors.add_metric([code], count)
        for type_, durations in self._durations.items():
            durations.add_to(seconds, [type_])
        return [handled, errors, seconds]
