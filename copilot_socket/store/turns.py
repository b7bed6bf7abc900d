"""The turn: reports stored and jobs claimed by one statement, for the writer and for the dispatcher."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import attrs
import orjson

from copilot_socket.core.folding import Change
from copilot_socket.core.jobs import ENTITY_TYPES, commands_for
from copilot_socket.core.records import record
from copilot_socket.core.reports import Completed, Encoded, job_of
from copilot_socket.store import arrays
from copilot_socket.store.connection import Row
from copilot_socket.store.sql import sql


class Runs(Protocol):
    """A connection, or a transaction under way."""

    async def hot_query(self, name: str, sql: str, params: Mapping[str, Any]) -> list[Row]:
        """Run the statement *sql*, prepared as *name*."""


@attrs.frozen
class Wants:
    """How many jobs each crawler (by its key) is to be given, and what commands it takes.

    ``spare``: how many more jobs are looked at, since other nodes are claiming as well.
    """

    room: Mapping[str, int]
    commands: Sequence[str]
    spare: int = 0

    def __bool__(self) -> bool:
        return bool(self.room and self.commands)


@attrs.frozen
class Ahead:
    """How many jobs the node is to claim for crawlers that are about to ask, and what entity types these take.

    ``spare`` as in :class:`Wants`.
    """

    number: int
    entity_types: tuple[str, ...]
    spare: int = 0

    @property
    def commands(self) -> tuple[str, ...]:
        """What they may be given."""
        return commands_for(self.entity_types)

    def __bool__(self) -> bool:
        return bool(self.number and self.commands)


NONE_WANTED = Wants({}, ())
NONE_AHEAD = Ahead(0, ())


@record
class Claimed:
    """An assignment to be sent to a crawler. ``access_token`` is as stored; times are in seconds."""

    assignment: str
    crawler: str | None
    """Whose it is; None: the node's, which will give it to someone."""
    entity_id: str
    gitlab_url: str
    resume_state: dict[str, Any] | None
    command: str
    full_path: str | None
    area_type: str | None
    branch: str | None
    try_: int
    account: str
    access_token: str
    expires_in: float | None
    """Until the token expires; None where that is not known."""
    credential_status: str
    waited: float | None
    """Since the job fell due; None for one that was sent before."""

    @property
    def entity_type(self) -> str:
        """What a crawler must know to be given it."""
        return ENTITY_TYPES[self.command]


@attrs.frozen
class Claim:
    """What a round of claiming brought; ``contended`` says that other nodes were faster for some of it."""

    jobs: list[Claimed]
    contended: bool


NOTHING_CLAIMED = Claim([], contended=False)


@record
class Stored:
    """Of an assignment whose change was stored: whether it began with that, and whose it is."""

    began: bool
    account: str


@attrs.frozen
class Turn:
    """What a turn did. ``held``: the assignments whose change was stored."""

    held: dict[str, Stored]
    claim: Claim


_CLAIMING = f"{sql('turn_claims')}, {sql('turn_assigned')}"
_CLAIM = f"WITH {sql('turn_room')}, {_CLAIMING} {sql('turn_claimed')}"
_STORE = f"WITH {sql('turn_reports')} {sql('turn_stored')}"
_BOTH = (
    f"WITH {sql('turn_reports')}, {sql('turn_reserve')}, {_CLAIMING} "
    f"{sql('turn_stored_beside')} UNION ALL {sql('turn_claimed')}"
)


async def store(
    on: Runs,
    node: str,
    reports: Mapping[str, Any],
    ahead: Ahead = NONE_AHEAD,
    on_count: Callable[[int], None] = lambda _stored: None,
) -> Turn:
    """Store *reports*, made by :func:`reports_of`, and claim *ahead* for the node. Raises what the database raises.

    *on_count* is told how many changes were stored, before anything is made of the rows: the connection is free then.
    """
    if not ahead:
        rows = await on.hot_query("store", _STORE, reports)
        on_count(len(rows))
        return Turn(_held(rows), NOTHING_CLAIMED)
    wanted = {
        "node": node,
        "number": ahead.number,
        "command": arrays.of_texts(ahead.commands),
        "spare": ahead.spare,
    }
    rows = await on.hot_query("store_and_claim", _BOTH, {**reports, **wanted})
    stored = [row for row in rows if row[_FOUND] is None]
    on_count(len(stored))
    return Turn(_held(stored), _claim([row for row in rows if row[_FOUND] is not None]))


async def claim(on: Runs, node: str, wants: Wants) -> Claim:
    """Claim for *wants*. Raises what the database raises."""
    more = {"command": arrays.of_texts(wants.commands), "spare": wants.spare}
    return _claim(await on.hot_query("claim", _CLAIM, {**asked(wants, node), **more}))


def asked(wants: Wants, node: str) -> dict[str, str]:
    """The parameters of ``turn_room``."""
    return {
        "node": node,
        "key": arrays.of_texts(list(wants.room)),
        "wanted": arrays.of_integers(list(wants.room.values())),
    }


_FOUND = -2
"""Where a row says how many jobs there were to be claimed."""


def _held(rows: Sequence[Row]) -> dict[str, Stored]:
    return {assignment: Stored(began, account) for assignment, began, account, *_ in rows}


def _claim(rows: Sequence[Row]) -> Claim:
    """What was claimed: a row each, or a single one without a job."""
    jobs = [Claimed(row[0], *row[2:_FOUND]) for row in rows if row[0] is not None]
    return Claim(jobs, contended=len(jobs) < rows[0][_FOUND])


def reports_of(changes: Sequence[Change]) -> dict[str, Any]:
    """The parameters of ``turn_reports``. Raises ``ValueError`` or ``TypeError`` for what no database takes."""
    # In one order, so that two batches can't wait for each other.
    changes = sorted(changes, key=lambda change: change.assignment)
    return {
        "job": arrays.of_texts([job_of(change.assignment) for change in changes]),
        "assignment": arrays.of_texts([change.assignment for change in changes]),
        "crawler": arrays.of_texts([change.crawler for change in changes]),
        "reported": arrays.of_booleans([change.reported for change in changes]),
        "started": arrays.of_booleans([change.started for change in changes]),
        "completed": arrays.of_booleans([isinstance(change.ending, Completed) for change in changes]),
        "progress": arrays.of_optional_texts([_json(change.merged or None) for change in changes]),
        "resume": arrays.of_optional_texts([_text(change.resume_state) for change in changes]),
    }


def _json(value: dict[str, Any] | None) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _text(value: Encoded | None) -> str | None:
    return None if value is None else value.decode()
