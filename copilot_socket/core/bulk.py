"""Bulk acts on jobs (docs/http.md, "Bulk operations"): which states they apply to, and how large their slices are."""

from collections.abc import Mapping
from enum import StrEnum

from copilot_socket.core.jobs import HELD, TERMINAL, Event, Status

SLICE_SECONDS = 0.03
"""How long a slice should hold its locks: a third of the most that it may."""
FIRST_SLICE, MOST = 50, 500
"""Jobs of the first slice of a node, and of any. No slice is smaller than the first: its own work takes some 10 ms;
what takes longer is the way to a busy or distant database and back, the same for a single job."""


class Action(StrEnum):
    """What is done to each job."""

    RETRY = "retry"
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RECOVER = "recover"
    DELETE = "delete"

    @property
    def event(self) -> Event | None:
        """The event for the state machine; None: the jobs are deleted."""
        return _EVENTS.get(self)

    @property
    def states(self) -> frozenset[Status]:
        """The states of the jobs that it applies to; others are not in the set."""
        return _STATES[self]


_EVENTS: Mapping[Action, Event] = {
    Action.RETRY: Event.RETRIED,
    Action.CANCEL: Event.CANCELLED,
    Action.PAUSE: Event.PAUSED,
    Action.RESUME: Event.RESUMED,
    Action.RECOVER: Event.RECOVERED,
}
_STATES: Mapping[Action, frozenset[Status]] = {
    Action.RETRY: frozenset({Status.FAILED, Status.CANCELLED}),
    Action.CANCEL: frozenset(Status) - TERMINAL,
    Action.PAUSE: HELD | {Status.QUEUED},
    Action.RESUME: frozenset({Status.PAUSED}),
    Action.RECOVER: HELD,
    Action.DELETE: TERMINAL,
}


def next_size(size: int, took: float) -> int:
    """The size of the slice after one of *size* jobs that held its locks for *took* seconds: at most twice it."""
    if took <= 0:
        return min(2 * size, MOST)
    return max(FIRST_SLICE, min(round(size * SLICE_SECONDS / took), 2 * size, MOST))
