"""The result of a demo: entities crawled and held, as a table or as JSON."""

from collections.abc import Mapping
from typing import Any

import attrs
from rich.table import Table

from copilot_socket.demo.story import Loss


@attrs.frozen
class Line:
    """How many different entities of a type were crawled, and how many there are."""

    entity_type: str
    crawled: int
    held: int

    @property
    def ok(self) -> bool:
        """Whether both numbers are equal."""
        return self.crawled == self.held


def compare(crawled: Mapping[str, int], held: Mapping[str, int]) -> list[Line]:
    """A line for each type in either mapping."""
    types = [*held, *sorted(set(crawled) - set(held))]
    return [Line(name, crawled.get(name, 0), held.get(name, 0)) for name in types]


@attrs.frozen
class Outcome:
    """The result of a demo. ``jobs``: by status; ``done``: completed jobs by crawler; ``refreshes``: of tokens."""

    lines: list[Line]
    loss: Loss | None
    jobs: Mapping[str, int]
    done: Mapping[str, int]
    refreshes: int
    seconds: float
    directory: str | None

    def faults(self) -> list[str]:
        """All deviations from the expected result."""
        faults = [
            f"{line.entity_type}: {line.crawled} crawled, {line.held} held" for line in self.lines if not line.ok
        ]
        others = {status: number for status, number in self.jobs.items() if number and status != "completed"}
        if others:
            faults.append("jobs that are not completed: " + ", ".join(f"{n} {s}" for s, n in others.items()))
        if self.loss is None:
            faults.append("no crawler was killed: no job was long enough")
        elif not self.loss.went_on:
            faults.append(str(self.loss))
        if self.refreshes == 0:
            faults.append("the expired token was never refreshed")
        return faults

    def document(self) -> dict[str, Any]:
        """The result as JSON."""
        faults = self.faults()
        return {
            "ok": not faults,
            "faults": faults,
            "entities": {line.entity_type: {"crawled": line.crawled, "held": line.held} for line in self.lines},
            "loss": self.loss and attrs.asdict(self.loss),
            "jobs": dict(self.jobs),
            "jobs_by_crawler": dict(self.done),
            "token_refreshes": self.refreshes,
            "seconds": round(self.seconds, 1),
            "directory": self.directory,
        }

    def table(self) -> Table:
        """The result as a table."""
        table = Table(title="What was crawled")
        table.add_column("entity type")
        table.add_column("crawled", justify="right")
        table.add_column("held by GitLab", justify="right")
        table.add_column("ok?")
        for line in self.lines:
            mark = "[green]yes[/green]" if line.ok else "[red]NO[/red]"
            table.add_row(line.entity_type, str(line.crawled), str(line.held), mark)
        return table
