"""What a measurement brought, and the little arithmetic that is done with it."""

import statistics
from collections.abc import Mapping, Sequence

import attrs


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of *values* that at least *share* (0 to 1) of them do not exceed. Raises ValueError for none."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    # The subtraction keeps 0.99 * 100 from being taken for more than 99.
    return ordered[max(0, -int(-(share * len(ordered) - 1e-9) // 1) - 1)]


@attrs.define
class Figure:
    """One measured quantity of one contestant, a value a round; ``detail`` is further values by round."""

    name: str
    unit: str
    rounds: list[float] = attrs.field(factory=list)
    detail: dict[str, list[float]] = attrs.field(factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def add(self, value: float, **detail: float) -> None:
        """One more round."""
        self.rounds.append(value)
        for name, further in detail.items():
            self.detail.setdefault(name, []).append(further)

    def detail_medians(self) -> dict[str, float]:
        """The median of every detail."""
        return {name: statistics.median(values) for name, values in self.detail.items()}


@attrs.define
class Result:
    """All figures of one workload, and who was left out and why."""

    workload: str
    title: str
    figures: dict[str, Figure] = attrs.field(factory=dict)
    skipped: dict[str, str] = attrs.field(factory=dict)
    curve: str | None = None
    """What the names of the figures count, where they are points of a curve."""

    def add(self, name: str, unit: str, value: float, **detail: float) -> None:
        """One more round of the figure *name*."""
        self.figures.setdefault(name, Figure(name, unit)).add(value, **detail)

    def skip(self, name: str, why: str) -> None:
        """Leave a contestant out."""
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
