"""What a node or all of them did in an interval, and how that adds up."""

from collections.abc import Sequence

import attrs

from copilot_socket.core.ends import Cause
from copilot_socket.core.histograms import Histogram
from copilot_socket.core.jobs import Status

QUEUED = ("queued", "scheduled", "path_paused")
"""The states that a queued job counts as: ready, not due yet, under a paused path."""
STATUSES = tuple(Status)
"""The order of ``job_history.jobs``."""
CAUSES = tuple(Cause)
"""The order of ``job_history.ended``."""
_NUMBER = {cause: number for number, cause in enumerate(CAUSES)}


def status_of(state: str) -> Status:
    """The status of the jobs that are counted as *state*."""
    return Status.QUEUED if state in QUEUED else Status(state)


@attrs.define
class Interval:
    """What happened in an interval. ``jobs``: how many there were at its beginning, by :data:`STATUSES`, if known.

    ``completed``, ``failed`` and ``cancelled`` are jobs; ``ended`` are attempts by :data:`CAUSES`. ``dispatch`` has
    the times from when jobs were due until they were sent, ``run`` those of attempts; ``crawlers`` is the most at a
    time.
    """

    jobs: Sequence[int] | None = None
    created: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    ended: list[int] = attrs.field(factory=lambda: [0] * len(CAUSES))
    dispatch: Histogram = attrs.field(factory=Histogram)
    run: Histogram = attrs.field(factory=Histogram)
    crawlers: int = 0

    def entered(self, status: str, count: int = 1) -> None:
        """Count jobs that entered *status*."""
        match status:
            case Status.COMPLETED:
                self.completed += count
            case Status.FAILED:
                self.failed += count
            case Status.CANCELLED:
                self.cancelled += count

    def attempt_ended(self, cause: Cause, seconds: float | None) -> None:
        """Count an attempt that ended after *seconds*, if that is known."""
        self.ended[_NUMBER[cause]] += 1
        if seconds is not None:
            self.run.add(seconds)

    def beside(self, other: "Interval") -> "Interval":
        """Both together, where *other* is of another node at the same time."""
        return self._plus(other, self.crawlers + other.crawlers)

    def before(self, later: "Interval") -> "Interval":
        """Both together, where *later* follows."""
        return self._plus(later, max(self.crawlers, later.crawlers))

    def _plus(self, other: "Interval", crawlers: int) -> "Interval":
        return Interval(
            other.jobs if self.jobs is None else self.jobs,
            self.created + other.created,
            self.completed + other.completed,
            self.failed + other.failed,
            self.cancelled + other.cancelled,
            [mine + theirs for mine, theirs in zip(self.ended, other.ended, strict=True)],
            self.dispatch.plus(other.dispatch),
            self.run.plus(other.run),
            crawlers,
        )
