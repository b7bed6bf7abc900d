"""The results of measurements, and arithmetic on them."""

import statistics
from collections.abc import Mapping, Sequence

import attrs


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: *share* is 0 to 1. Raises ValueError if *values* is empty."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    # The subtraction compensates rounding: 0.99 * 100 must not exceed 99.
    return ordered[max(0, -int(-(share * len(ordered) - 1e-9) // 1) - 1)]


@attrs.define
class Figure:
    """One measured quantity of one contestant, with a value per round; ``detail``: further values per round."""

    name: str
    unit: str
    rounds: list[float] = attrs.field(factory=list)
    detail: dict[str, list[float]] = attrs.field(factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def add(self, value: float, **detail: float) -> None:
        """Add a round."""
        self.rounds.append(value)
        for name, further in detail.items():
            self.detail.setdefault(name, []).append(further)

    def detail_medians(self) -> dict[str, float]:
        """The median of every detail."""
        return {name: statistics.median(values) for name, values in self.detail.items()}


@attrs.define
class Result:
    """All figures of one workload, and the contestants skipped, with reasons."""

    workload: str
    title: str
    figures: dict[str, Figure] = attrs.field(factory=dict)
    skipped: dict[str, str] = attrs.field(factory=dict)
    curve: str | None = None
    """The quantity on the x axis, if the figures' names are points of a curve."""

    def add(self, name: str, unit: str, value: float, **detail: float) -> None:
        """Add a round to the figure *name*."""
        self.figures.setdefault(name, Figure(name, unit)).add(value, **detail)

    def skip(self, name: str, why: str) -> None:
        """Skip a contestant."""
        self.skipped[name] = why


def medians(results: Mapping[str, Result]) -> dict[tuple[str, str], float]:
    """Every median, by workload and figure; of details, by ``FIGURE: DETAIL``."""
    found = {}
    for workload, result in results.items():
        for figure in result.figures.values():
            if figure.rounds:
                found[workload, figure.name] = figure.median
            for detail, median in figure.detail_medians().items():
                found[workload, f"{figure.name}: {detail}"] = median
    return found
