"""Targets for the figures, as independent of the measuring machine as possible."""

from collections.abc import Mapping, Sequence

import attrs

NEAR_EMPTY, FULL, UNWANTED = "near-empty table", "many queued, many finished", "many that nobody here may take"
"""The figures of the workload ``depth``."""
FREE, RESTRICTED = "no restrictions", "1,000 paused lanes, limits and budgets"
"""The beginnings of the figures of the workload ``restricted``."""

Medians = Mapping[tuple[str, str], float]
"""By workload and figure."""


@attrs.frozen
class Bound:
    """A number; or, with a figure, a multiple of that figure."""

    value: float
    figure: tuple[str, str] | None = None

    def amount(self, found: Medians) -> float | None:
        """The bound as a number; None if its figure was not measured."""
        if self.figure is None:
            return self.value
        return self.value * found[self.figure] if self.figure in found else None


@attrs.frozen
class Target:
    """A figure and its bounds: lower bounds with ``least``, else upper bounds."""

    figure: tuple[str, str]
    bounds: Sequence[Bound]
    least: bool = True


@attrs.frozen
class Verdict:
    """The share of a bound that a figure reaches: from 1.0 on it is met."""

    bound: Bound
    amount: float
    reached: float


def verdicts(target: Target, found: Medians) -> list[Verdict]:
    """A verdict for each bound whose figures were measured."""
    measured = found.get(target.figure)
    if measured is None:
        return []
    judged = []
    for bound in target.bounds:
        amount = bound.amount(found)
        if amount and measured:
            judged.append(Verdict(bound, amount, measured / amount if target.least else amount / measured))
    return judged


def _times(workload: str, factors: Mapping[str, float], detail: str = "") -> list[Bound]:
    return [Bound(factor, (workload, name + detail)) for name, factor in factors.items()]


def _lifecycles(name: str, rate: Mapping[str, float], cpu: Mapping[str, float]) -> tuple[Target, Target]:
    """At least *rate* times the rate of others, and at most *cpu* times the CPU of them and their workers."""
    return (
        Target(("lifecycles", name), _times("lifecycles", rate)),
        Target(("lifecycles", f"{name}: CPU"), _times("lifecycles", cpu, ": CPU"), least=False),
    )


def _as_near_empty(name: str) -> tuple[Target, Target]:
    """Nearly as many lifecycles as with a near-empty table, and nearly as short a wait for a job."""
    return (
        Target(("depth", name), _times("depth", {NEAR_EMPTY: 1 / 1.2})),
        Target(("depth", f"{name}: one request"), _times("depth", {NEAR_EMPTY: 1.2}, ": one request"), least=False),
    )


TARGETS: tuple[Target, ...] = (
    # The measured values, with a margin of a third.
    *_lifecycles(
        "copilot-socket, 32 crawlers x 1",
        rate={"plain server": 2.4, "Graphile Worker": 0.15, "pg-boss": 0.17},
        cpu={"plain server": 0.33, "pgbench batched": 12.2},
    ),
    *_lifecycles(
        "copilot-socket, 8 crawlers x 1",
        rate={"plain server": 1.0, "Graphile Worker": 0.062, "pg-boss": 0.074},
        cpu={"plain server": 0.63, "pgbench batched": 23.5},
    ),
    *_lifecycles(
        "copilot-socket, 32 crawlers x 20",
        rate={"pgbench batched": 0.065, "Graphile Worker": 0.165, "pg-boss": 0.19},
        cpu={"plain server": 0.21, "pgbench batched": 7.9},
    ),
    Target(("plain_crawler", "beside its own work"), [Bound(20)], least=False),
    Target(("bulk", "HTTP"), _times("bulk", {"COPY": 0.5})),
    *(target for name in (FULL, UNWANTED) for target in _as_near_empty(name)),
    *(
        Target(("restricted", f"{RESTRICTED}, {crew}"), _times("restricted", {f"{FREE}, {crew}": 0.9}))
        for crew in ("32 crawlers x 1", "32 crawlers x 20")
    ),
)
