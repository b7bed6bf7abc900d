"""What the writer stores, and its folding into one change per assignment."""

from collections.abc import Mapping, Sequence

import attrs

from copilot_socket.core.folding import Change, Fold, Verdict, fold
from copilot_socket.core.reports import INTERRUPTIONS, Report
from copilot_socket.store.turns import reports_of


@attrs.frozen
class Presence:
    """A crawler that is present, or gone (its last connection closed, or it is silent)."""

    key: str
    crawler_id: str
    max_jobs: int
    entity_types: tuple[str, ...]
    plain: bool
    present: bool
    commands: bool = False
    """Whether it takes ``job_cancel`` and ``job_pause``."""
    confirm_within: float | None = None
    """Seconds in which reports must confirm the assignments that it holds, or they are released; None: no need."""
    version: str | None = None
    """Of the crawler, as it says."""
    size = 0

    @property
    def crawler(self) -> str:
        """The key of the crawler whose write this is."""
        return self.key


@attrs.frozen
class ConnectionSeen:
    """A connection that was opened, identified or closed; a closed one with the last status of its crawler.

    ``silent``: seconds since the crawler was last heard; None: never. ``metadata`` is a JSON object.
    """

    id: str
    crawler_key: str
    crawler_id: str
    active: bool
    silent: float | None = None
    system_status: str | None = None
    metadata: bytes = b"{}"
    size = 0

    @property
    def crawler(self) -> str:
        """The key of the crawler whose write this is."""
        return self.crawler_key


Write = Report | Presence | ConnectionSeen


class Folded:
    """*writes* as they are stored: one change for all reports of an assignment.

    Folding needs no database, so a batch is folded while another is being written. Raises ``ValueError`` or
    ``TypeError`` for values that can't be made parameters of a statement.
    """

    def __init__(self, writes: Sequence[Write]) -> None:
        self.writes = writes
        reports: dict[str, list[Report]] = {}
        others = False
        for write in writes:
            if isinstance(write, Report):
                reports.setdefault(write.assignment, []).append(write)
            else:
                others = True
        self._folds: list[Fold] = [fold(each) for each in reports.values()]
        self.changes = [each.change for each in self._folds]
        self.ordinary = not others and all(map(_ordinary, self.changes))
        """Whether one statement stores the batch."""
        self.endings: dict[str, list[str]] = {}
        """Crawler → the assignments whose end it reports."""
        for change in self.changes:
            if change.ending is not None:
                self.endings.setdefault(change.crawler, []).append(change.assignment)
        self._said_once = not any(each.behind for each in self._folds)
        self.parameters = reports_of(self.changes)
        self.outcome_unknown = False
        """An earlier write has an unknown outcome: a repeated ending may be that of this batch."""

    def verdicts(self, given: Mapping[str, Verdict]) -> list[Verdict]:
        """The verdict on each write, given those on the changes."""
        if self._said_once and list(given.values()).count(Verdict.STORED) == len(given):  # the common case
            return [Verdict.STORED] * len(self.writes)
        if self.outcome_unknown:
            given = {name: Verdict.STORED if each is Verdict.REPEATED else each for name, each in given.items()}
        left = {each.change.assignment: iter(each.verdicts(given[each.change.assignment])) for each in self._folds}
        return [
            next(left[write.assignment]) if isinstance(write, Report) else Verdict.STORED for write in self.writes
        ]


def _ordinary(change: Change) -> bool:
    return not isinstance(change.ending, INTERRUPTIONS) and not change.refused
