"""Shows a running demo: live tables on a terminal, plain lines elsewhere, or nothing."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import attrs
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table


@attrs.frozen
class Picture:
    """The current state: jobs by status, crawlers as the server lists them, entities by type."""

    jobs: Mapping[str, int]
    crawlers: Sequence[Mapping[str, Any]]
    crawled: Mapping[str, int]
    held: Mapping[str, int]
    seconds: float


class Display(Protocol):
    """Shows a demo. A context manager."""

    def __enter__(self) -> Self:
        """Start."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""

    def say(self, text: str) -> None:
        """Print *text*, a description of an event."""

    def show(self, picture: Picture) -> None:
        """Show the current state."""


class Silence:
    """Shows nothing."""

    def __enter__(self) -> Self:
        """Start."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""

    def say(self, text: str) -> None:
        """Print *text*, a description of an event."""

    def show(self, picture: Picture) -> None:
        """Show the current state."""


class Lines(Silence):
    """A line for each event, and one for changes in the queue, at most once a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""
        self._next = 0.0

    def say(self, text: str) -> None:
        """Print *text*, a description of an event."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, picture: Picture) -> None:
        """Show the current state."""
        jobs = ", ".join(f"{number} {status}" for status, number in picture.jobs.items() if number)
        line = f"jobs: {jobs}; entities: {sum(picture.crawled.values())} of {sum(picture.held.values())}"
        if line != self._last and picture.seconds >= self._next:
            self._last, self._next = line, picture.seconds + 1.0
            self.say(f"{picture.seconds:5.1f} s  {line}")


class Pictures(Silence):
    """Tables updated in place, with the events above them."""

    def __init__(self, console: Console) -> None:
        # With redirection, the console's own output would be redirected to itself, endlessly.
        self._live = Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )

    def __enter__(self) -> Self:
        """Start."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and restore the terminal."""
        self._live.stop()

    def say(self, text: str) -> None:
        """Print *text*, a description of an event."""
        self._live.console.print(text, markup=False, highlight=False)

    def show(self, picture: Picture) -> None:
        """Show the current state."""
        self._live.update(draw(picture), refresh=True)


def draw(picture: Picture) -> RenderableType:
    """Queue, crawlers and entities, side by side."""
    jobs = Table("jobs", "", title=f"Queue, {picture.seconds:.0f} s")
    for status, number in picture.jobs.items():
        jobs.add_row(status, str(number))
    crawlers = Table("crawler", "jobs", "state", title="Crawlers")
    for crawler in picture.crawlers:
        state = (crawler["system_status"] or "connected") if crawler["connected"] else "gone"
        crawlers.add_row(crawler["id"], str(len(crawler["active_jobs"])), state)
    entities = Table("entity type", "crawled", "of", title="Entities")
    for name, held in picture.held.items():
        entities.add_row(name, str(picture.crawled.get(name, 0)), str(held))
    return Group(Columns([jobs, crawlers, entities]))


def for_console(console: Console) -> Display:
    """The display that suits *console*."""
    return Pictures(console) if console.is_terminal else Lines(console)
