"""Folding: the events of one assignment in one batch become one change.

Folding and then applying equals applying one by one (a property test compares the two), so a burst of progress costs
the database one row, not many.
"""

from collections.abc import Sequence
from enum import Enum

import attrs

from copilot_socket.core.records import record
from copilot_socket.core.reports import (
    INTERRUPTIONS,
    Completed,
    Discovered,
    Encoded,
    Failed,
    GivenBack,
    Json,
    Refused,
    Report,
    Started,
    incomplete,
)


class Verdict(Enum):
    """The result of a report."""

    STORED = "stored"
    REPEATED = "repeated"
    """Of a change only: the same ending has ended this attempt before. Only the ending is acknowledged again."""
    STALE = "stale"
    UNKNOWN = "unknown"
    UNAUTHORIZED = "unauthorized"


@record
class Change:
    """What all reports of a batch on one assignment add up to."""

    assignment: str
    crawler: str
    started: bool = False
    progress: Json = attrs.field(factory=dict)
    resume_state: Encoded | None = None
    ending: Completed | Failed | GivenBack | None = None
    refused: tuple[Refused, ...] = ()
    """Its discoveries that were refused before it ended."""

    @property
    def merged(self) -> Json:
        """What is merged into the job's progress: the reported progress, and the stage of a completed job."""
        return {**self.progress, "stage": "completed"} if isinstance(self.ending, Completed) else self.progress


@record
class Fold:
    """A change made of the first ``within`` reports; ``behind``: whether each later one repeats the ending."""

    change: Change
    within: int
    behind: tuple[bool, ...] = ()

    def verdicts(self, of_change: Verdict) -> list[Verdict]:
        """The verdict on each report, in order, given the verdict on the change."""
        match of_change:
            case Verdict.STORED:
                within = [Verdict.STORED] * self.within
            case Verdict.REPEATED:
                within = [Verdict.STALE] * (self.within - 1) + [Verdict.STORED]
            case _:
                return [of_change] * (self.within + len(self.behind))
        return within + [Verdict.STORED if again else Verdict.STALE for again in self.behind]


def fold(reports: Sequence[Report]) -> Fold:
    """Fold *reports*, in the order received: all of one assignment and one crawler, and without discoveries."""
    started = False
    progress: Json = {}
    resume_state: Encoded | None = None
    ending: Completed | Failed | GivenBack | None = None
    refused: tuple[Refused, ...] = ()
    within = 0
    for report in reports:
        if ending is not None:
            break
        within += 1
        body = report.body
        if isinstance(body, Started):
            started = True
            continue
        if isinstance(body, Refused):
            refused += (body,)
            continue
        progress.update(body.progress)
        if isinstance(body, Completed):
            ending = body
        elif not isinstance(body, Discovered):
            resume_state = body.resume_state if body.resume_state is not None else resume_state
            ending = body if isinstance(body, INTERRUPTIONS) else None
    first = reports[0]
    behind = reports[within:]
    again = tuple([type(report.body) is type(ending) for report in behind]) if behind else ()
    if refused and isinstance(ending, Completed):
        ending = judged(ending, refused)
    change = Change(first.assignment, first.crawler, started, progress, resume_state, ending, refused)
    return Fold(change, within, again)


def judged(ending: Completed, refused: Sequence[Refused]) -> Completed | Failed:
    """*ending*, or a failure where a discovery was *refused* without its crawler's knowledge."""
    unknown = next((each for each in refused if not each.known), None)
    return ending if unknown is None else incomplete(unknown.error)
