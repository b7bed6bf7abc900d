"""Bulk acts on jobs (docs/http.md, "Bulk operations"): which states they apply to, and the pace of their slices."""

from collections.abc import Mapping
from enum import StrEnum

import attrs

from copilot_socket.core.jobs import HELD, TERMINAL, Event, Status

SLICE_SECONDS = 0.03
"""How long a slice should hold its locks: a third of the most that it may."""
FIRST_SLICE, MOST = 50, 500
"""Jobs of the first slice of a node, and of any. No slice is smaller than the first: its own work takes some 10 ms;
what takes longer is the way to a busy or distant database and back, the same for a single job."""
REST = 0.005
"""The shortest rest between two slices, in seconds; each rests for as long as it took."""


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


@attrs.define
class Pace:
    """The pace of work in slices: ``size`` is that of the next one."""

    size: int = attrs.field(factory=lambda: FIRST_SLICE)

    def rest(self, took: float) -> float:
        """Adapt the size to a slice that held its locks for *took* seconds, if any; return the seconds to rest."""
        if took > 0:
            self.size = max(FIRST_SLICE, min(round(self.size * SLICE_SECONDS / took), 2 * self.size, MOST))
        return max(took, REST)
