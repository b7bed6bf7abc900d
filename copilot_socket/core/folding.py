"""Folding: the events of one assignment in one batch become one change.

Folding and then applying equals applying one by one (a property test holds the two together), so a burst of
progress costs the database one row, not many.
"""

from collections.abc import Sequence
from enum import Enum

import attrs

from copilot_socket.core.records import record
from copilot_socket.core.reports import Completed, Discovered, Failed, Given, Json, Report, Started


class Verdict(Enum):
    """What became of a report."""

    STORED = "stored"
    STALE = "stale"
    UNKNOWN = "unknown"
    UNAUTHORIZED = "unauthorized"


@record
class Change:
    """All that a batch says of one assignment."""

    assignment: str
    crawler: str
    reported: bool = True
    """Its crawler has said something of it."""
    started: bool = False
    progress: Json = attrs.field(factory=dict)
    resume_state: Json | None = None
    ending: Completed | Failed | None = None
    discoveries: tuple[Discovered, ...] = ()


class Place(Enum):
    """Where a report of the fold stands in relation to the change."""

    IN = "part of the change"
    AGAIN = "the ending once more"
    LATE = "after the ending"


@record
class Fold:
    """A change, and for each report, in order, how it stands to it."""

    change: Change
    places: tuple[Place, ...]

    def verdicts(self, of_change: Verdict) -> list[Verdict]:
        """What became of each report, given what became of the change."""
        late = Verdict.STALE if of_change is Verdict.STORED else of_change
        return [late if place is Place.LATE else of_change for place in self.places]


def fold(reports: Sequence[Report]) -> Fold:
    """Fold *reports*, in the order received, all of one assignment and one crawler."""
    reported = started = False
    progress: Json = {}
    resume_state: Json | None = None
    ending: Completed | Failed | None = None
    discoveries: list[Discovered] = []
    places = []
    for report in reports:
        body = report.body
        if ending is not None:
            places.append(Place.AGAIN if type(body) is type(ending) else Place.LATE)
            continue
        places.append(Place.IN)
        if isinstance(body, Given):
            continue
        reported = True
        if isinstance(body, Started):
            started = True
            continue
        progress.update(body.progress)
        if isinstance(body, Discovered):
            discoveries.append(body)
        elif isinstance(body, Completed):
            ending = body
        else:
            resume_state = body.resume_state if body.resume_state is not None else resume_state
            ending = body if isinstance(body, Failed) else None
    first = reports[0]
    change = Change(
        first.assignment, first.crawler, reported, started, progress, resume_state, ending, tuple(discoveries)
    )
    return Fold(change, tuple(places))


def split_runs(reports: Sequence[Report]) -> list[list[int]]:
    """The indices of *reports* by assignment, in order of first mention."""
    runs: dict[str, list[int]] = {}
    for index, report in enumerate(reports):
        runs.setdefault(report.assignment, []).append(index)
    return list(runs.values())
