"""Histograms of durations with fixed bounds, which can be added up over nodes and over time."""

from bisect import bisect_left

import attrs

BOUNDS = tuple(10 ** (step / 5 - 3) for step in range(41))
"""Upper bounds in seconds, five for each power of ten: from 1 ms to 100,000 s. One bucket more holds what is longer.

Stored by position: they can't change without the rows of ``job_history``.
"""
BUCKETS = len(BOUNDS) + 1


@attrs.define
class Histogram:
    """Durations: how many are in each bucket, their sum, and the longest, in seconds."""

    counts: list[int] = attrs.field(factory=lambda: [0] * BUCKETS)
    seconds: float = 0.0
    longest: float = 0.0

    def add(self, seconds: float) -> None:
        """Add one duration; a negative one, of clocks that were set, counts as zero."""
        seconds = max(0.0, seconds)
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds
        self.longest = max(self.longest, seconds)

    def plus(self, other: "Histogram") -> "Histogram":
        """Both together."""
        return Histogram(
            [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)],
            self.seconds + other.seconds,
            max(self.longest, other.longest),
        )

    def quantile(self, share: float) -> float:
        """An estimate of the duration that *share* of all do not exceed; 0 if there are none.

        It lies in the right bucket, as if the durations were spread evenly in there.
        """
        rank = share * sum(self.counts)
        below = 0
        for bucket, count in enumerate(self.counts):
            if count and below + count >= rank:
                least = BOUNDS[bucket - 1] if bucket else 0.0
                most = min(BOUNDS[bucket], self.longest) if bucket < len(BOUNDS) else self.longest
                return min(least + (most - least) * (rank - below) / count, most)
            below += count
        return 0.0

    def summary(self) -> dict[str, float | int | None]:
        """Count, mean, quantiles and maximum, as they are shown; null where there are no durations."""
        count = sum(self.counts)
        if not count:
            return {"count": 0, "mean": None, "p50": None, "p95": None, "p99": None, "max": None}
        return {
            "count": count,
            "mean": self.seconds / count,
            "p50": self.quantile(0.5),
            "p95": self.quantile(0.95),
            "p99": self.quantile(0.99),
            "max": self.longest,
        }
