"""The interface of everything that is measured doing jobs: this server, its peers and the limits."""

from typing import Protocol

import attrs

from benchmarks.bench import Bench
from benchmarks.processes import Usage

WORKERS = 8
"""Workers, processes or connections of each peer."""


@attrs.frozen
class Done:
    """The result of one round of a contestant."""

    jobs: int
    seconds: float
    spent: Usage

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return self.jobs / self.seconds

    def per_job(self) -> dict[str, float]:
        """CPU in µs per job, by process group and in total."""
        spent = attrs.asdict(self.spent)
        return {name: value / self.jobs * 1e6 for name, value in (*spent.items(), ("CPU", sum(spent.values())))}


class Contestant(Protocol):
    """Does jobs, each of which is durable before it counts as done."""

    @property
    def name(self) -> str: ...

    def missing(self) -> str | None:
        """What has to be installed; None if nothing is missing."""

    def round(self, bench: Bench, quick: bool) -> Done:
        """Do a round of jobs. Raises wire.Broken if their number is wrong at the end."""
