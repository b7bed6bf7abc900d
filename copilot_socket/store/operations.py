"""What the writer stores, and a batch of it, folded."""

from collections.abc import Mapping, Sequence

import attrs

from copilot_socket.core.folding import Change, Fold, Verdict, fold
from copilot_socket.core.reports import Failed, Report
from copilot_socket.store.turns import reports_of


@attrs.frozen
class Presence:
    """A crawler that is here, or has gone (no connection left, or silent)."""

    key: str
    crawler_id: str
    max_jobs: int
    entity_types: tuple[str, ...]
    plain: bool
    present: bool
    confirm_within: float | None = None
    """Seconds in which reports have to name what it holds, or it is released; None: nothing need be named."""
    size = 0

    @property
    def crawler(self) -> str:
        """Whose operation it is."""
        return self.key


@attrs.frozen
class ConnectionSeen:
    """A connection that opened, said who it is, or closed; one that closed with what was last heard of its crawler.

    ``silent`` in seconds since then; None: nothing was heard. ``metadata`` is a JSON object.
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
        """Whose operation it is."""
        return self.crawler_key


Operation = Report | Presence | ConnectionSeen


class Folded:
    """*operations* as they are stored: one change for all reports of an assignment.

    Nothing here needs the database, so a batch is folded while another is being written. Raises what the making of
    parameters raises for values that no database takes: ``ValueError``, ``TypeError``.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = operations
        reports: dict[str, list[Report]] = {}
        others = False
        for operation in operations:
            if isinstance(operation, Report):
                reports.setdefault(operation.assignment, []).append(operation)
            else:
                others = True
        self._folds: list[Fold] = [fold(each) for each in reports.values()]
        self.changes = [each.change for each in self._folds]
        self.everyday = not others and all(map(_everyday, self.changes))
        """Whether one statement stores it."""
        self.endings: dict[str, list[str]] = {}
        """The assignments that each crawler says are over."""
        for change in self.changes:
            if change.ending is not None:
                self.endings.setdefault(change.crawler, []).append(change.assignment)
        self._said_once = not any(each.behind for each in self._folds)
        self.parameters = reports_of(self.changes)
        self.in_doubt = False
        """It was written before, and whether that was committed is not known: an ending repeated may be its own."""

    def verdicts(self, became: Mapping[str, Verdict]) -> list[Verdict]:
        """What became of each operation, given what *became* of each change, by its assignment."""
        if self._said_once and list(became.values()).count(Verdict.STORED) == len(became):  # as nearly always
            return [Verdict.STORED] * len(self.operations)
        if self.in_doubt:
            became = {name: Verdict.STORED if each is Verdict.REPEATED else each for name, each in became.items()}
        left = {each.change.assignment: iter(each.verdicts(became[each.change.assignment])) for each in self._folds}
        return [
            next(left[operation.assignment]) if isinstance(operation, Report) else Verdict.STORED
            for operation in self.operations
        ]


def _everyday(change: Change) -> bool:
    return not isinstance(change.ending, Failed) and not change.refused
