"""Whoever does jobs: the one interface of this server, its peers and the limits."""

from typing import Protocol

import attrs

from benchmarks.bench import Bench
from benchmarks.processes import Usage

WORKERS = 8
"""How many workers, processes or connections every peer has."""


@attrs.frozen
class Done:
    """One round of one contestant."""

    jobs: int
    seconds: float
    spent: Usage

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return self.jobs / self.seconds

    def per_job(self) -> dict[str, float]:
        """CPU in µs a job, by who spent it, and of all together."""
        spent = attrs.asdict(self.spent)
        return {name: value / self.jobs * 1e6 for name, value in (*spent.items(), ("CPU", sum(spent.values())))}


class Contestant(Protocol):
    """Does jobs, each of them durable before it counts as done."""

    @property
    def name(self) -> str: ...

    def missing(self) -> str | None:
        """What has to be installed, None where everything is there."""

    def round(self, bench: Bench, quick: bool) -> Done:
        """Do a round of jobs. Raises wire.Broken where the count of them is wrong in the end."""
