"""Folding: the events of one assignment in one batch become one change.

Folding and then applying equals applying one by one (a property test holds the two together), so a burst of
progress costs the database one row, not many.
"""

from collections.abc import Sequence
from enum import Enum

import attrs

from copilot_socket.core.reports import Body, Completed, Discovered, Failed, Json, Progressed, Report, Started


class Verdict(Enum):
    """What became of a report."""

    STORED = "stored"
    STALE = "stale"
    UNKNOWN = "unknown"
    UNAUTHORIZED = "unauthorized"


@attrs.frozen
class Change:
    """All that a batch says of one assignment."""

    assignment: str
    crawler: str
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


@attrs.frozen
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
    change = Change(reports[0].assignment, reports[0].crawler)
    places = []
    for report in reports:
        if change.ending is None:
            change = _extend(change, report.body)
            places.append(Place.IN)
        else:
            places.append(Place.AGAIN if type(report.body) is type(change.ending) else Place.LATE)
    return Fold(change, tuple(places))


def _extend(change: Change, body: Body) -> Change:
    match body:
        case Started():
            return attrs.evolve(change, started=True)
        case Progressed():
            return attrs.evolve(
                change,
                progress={**change.progress, **body.progress},
                resume_state=body.resume_state if body.resume_state is not None else change.resume_state,
            )
        case Discovered():
            return attrs.evolve(
                change,
                progress={**change.progress, **body.progress},
                discoveries=(*change.discoveries, body),
            )
        case Completed():
            return attrs.evolve(change, progress={**change.progress, **body.progress}, ending=body)
        case Failed():
            return attrs.evolve(
                change,
                progress={**change.progress, **body.progress},
                resume_state=body.resume_state if body.resume_state is not None else change.resume_state,
                ending=body,
            )


def split_runs(reports: Sequence[Report]) -> list[list[int]]:
    """The indices of *reports* by assignment, in order of first mention."""
    runs: dict[str, list[int]] = {}
    for index, report in enumerate(reports):
        runs.setdefault(report.assignment, []).append(index)
    return list(runs.values())
