"""What the figures are held against: what must be reached, and what is aimed at."""

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
    """A figure and its bounds; ``least`` says that more is better."""

    figure: tuple[str, str]
    must: Sequence[Bound]
    aim: Sequence[Bound]
    least: bool = True


@attrs.frozen
class Verdict:
    """How far a figure is from a bound: from 1.0 on it is met."""

    bound: Bound
    amount: float
    reached: float


def verdicts(target: Target, bounds: Sequence[Bound], found: Medians) -> list[Verdict]:
    """For each of *bounds* that can be told."""
    measured = found.get(target.figure)
    if measured is None:
        return []
    judged = []
    for bound in bounds:
        amount = bound.amount(found)
        if amount and measured:
            judged.append(Verdict(bound, amount, measured / amount if target.least else amount / measured))
    return judged


def _lifecycles(factor: float, name: str) -> Bound:
    return Bound(factor, ("lifecycles", name))


def _fixed(workload: str, name: str, must: float, aim: float | None = None, least: bool = False) -> Target:
    return Target((workload, name), [Bound(must)], [] if aim is None else [Bound(aim)], least)


def _as_near_empty(name: str) -> tuple[Target, Target]:
    """As many lifecycles as with a near-empty table, and as short a wait for a job, or nearly so."""
    rate, wait = ("depth", NEAR_EMPTY), ("depth", f"{NEAR_EMPTY}: one request")
    return (
        Target(("depth", name), [Bound(1 / 1.2, rate)], [Bound(1.0, rate)]),
        Target(("depth", f"{name}: one request"), [Bound(1.2, wait)], [Bound(1.0, wait)], least=False),
    )


TARGETS: tuple[Target, ...] = (
    Target(
        ("lifecycles", "copilot-socket, 32 crawlers x 1"),
        [
            _lifecycles(2, "pgbench one by one"),
            _lifecycles(3, "plain server"),
            _lifecycles(15, "procrastinate"),
        ],
        [_lifecycles(4, "pgbench one by one")],
    ),
    Target(
        ("lifecycles", "copilot-socket, 8 crawlers x 1"),
        [_lifecycles(1, "beanstalkd")],
        [_lifecycles(1.5, "beanstalkd")],
    ),
    Target(
        ("lifecycles", "copilot-socket, 32 crawlers x 20"),
        [_lifecycles(3.5, "pgbench one by one")],
        [_lifecycles(0.5, "pgbench batched")],
    ),
    _fixed("heartbeats", "newline-ended", 200_000, 500_000, least=True),
    _fixed("heartbeats", "undelimited", 80_000, 300_000, least=True),
    _fixed("dispatch", "HTTP submit, p50", 1.2, 0.7),
    _fixed("dispatch", "HTTP submit, p99", 5.0),
    _fixed("dispatch", "INSERT, p50", 1.2, 0.7),
    _fixed("dispatch", "INSERT, p99", 5.0),
    Target(("bulk", "HTTP"), [Bound(20_000)], [Bound(0.5, ("bulk", "COPY"))]),
    *(target for name in (FULL, UNWANTED) for target in _as_near_empty(name)),
    _fixed("idle", "CPU", 5.0, 1.0),
    _fixed("idle", "memory", 150.0, 80.0),
    _fixed("recovery", "after the grace", 200.0, 20.0),
    _fixed("start", "to ready", 1.0, 0.5),
)
