"""What the figures are held against: what the machine that measures has no part in, or as little as can be."""

from collections.abc import Mapping, Sequence

import attrs

NEAR_EMPTY, FULL, UNWANTED = "near-empty table", "many queued, many finished", "many that nobody here may take"
"""The figures of the workload ``depth``."""

Medians = Mapping[tuple[str, str], float]
"""By workload and figure."""


@attrs.frozen
class Bound:
    """A number; or, with a figure, so many times that figure."""

    value: float
    figure: tuple[str, str] | None = None

    def amount(self, found: Medians) -> float | None:
        """The bound as a number, None where what it refers to was not measured."""
        if self.figure is None:
            return self.value
        return self.value * found[self.figure] if self.figure in found else None


@attrs.frozen
class Target:
    """A figure and the bounds that it must reach; ``least`` says that more is better."""

    figure: tuple[str, str]
    bounds: Sequence[Bound]
    least: bool = True


@attrs.frozen
class Verdict:
    """How far a figure is from a bound: from 1.0 on it is met."""

    bound: Bound
    amount: float
    reached: float


def verdicts(target: Target, found: Medians) -> list[Verdict]:
    """For each bound that can be told."""
    measured = found.get(target.figure)
    if measured is None:
        return []
    judged = []
    for bound in target.bounds:
        amount = bound.amount(found)
        if amount and measured:
            judged.append(Verdict(bound, amount, measured / amount if target.least else amount / measured))
    return judged


def _times(factor: float, name: str, workload: str = "lifecycles") -> Bound:
    return Bound(factor, (workload, name))


def _as_near_empty(name: str) -> tuple[Target, Target]:
    """Nearly as many lifecycles as with a near-empty table, and nearly as short a wait for a job."""
    return (
        Target(("depth", name), [_times(1 / 1.2, NEAR_EMPTY, "depth")]),
        Target(("depth", f"{name}: one request"), [_times(1.2, f"{NEAR_EMPTY}: one request", "depth")], least=False),
    )


TARGETS: tuple[Target, ...] = (
    Target(("lifecycles", "copilot-socket, 32 crawlers x 1: CPU"), [Bound(1)], least=False),
    Target(("lifecycles", "copilot-socket, 8 crawlers x 1: CPU"), [Bound(1)], least=False),
    Target(("lifecycles", "copilot-socket, 32 crawlers x 20: CPU"), [Bound(1)], least=False),
    Target(
        ("lifecycles", "copilot-socket, 32 crawlers x 1"),
        [_times(3, "plain server"), _times(0.2, "Graphile Worker"), _times(0.2, "pg-boss")],
    ),
    Target(
        ("lifecycles", "copilot-socket, 32 crawlers x 20"),
        [_times(0.1, "pgbench batched"), _times(0.3, "Graphile Worker"), _times(0.3, "pg-boss")],
    ),
    # To be set once dispatch is replaced: as long as the end of a plain crawler's job is no request, it polls.
    Target(("plain_crawler", "beside its own work"), [Bound(20)], least=False),
    Target(("bulk", "HTTP"), [_times(0.5, "COPY", "bulk")]),
    *(target for name in (FULL, UNWANTED) for target in _as_near_empty(name)),
)
