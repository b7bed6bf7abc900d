"""The turn: reports stored and jobs claimed by one statement, for the writer and for the dispatcher."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import attrs
import orjson

from copilot_socket.core.folding import Change
from copilot_socket.core.jobs import ENTITY_TYPES
from copilot_socket.core.records import record
from copilot_socket.core.reports import Completed, job_of
from copilot_socket.store.connection import Params, Row
from copilot_socket.store.sql import sql


class Runs(Protocol):
    """A connection, or a transaction under way."""

    async def hot_query(self, name: str, sql: str, params: Mapping[str, Any]) -> list[Row]:
        """Run the statement *sql*, prepared as *name*."""


@attrs.frozen
class Wants:
    """How many jobs each crawler (by its key) is to be given, and what commands it takes."""

    room: Mapping[str, int]
    commands: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.room and self.commands)


NOTHING = Wants({}, ())

_ACCOUNT = 11
"""Where the account stands in a row of the turn."""


@attrs.frozen
class Claimed:
    """An assignment to be sent to its crawler. ``access_token`` is as stored; times are in seconds."""

    assignment: str
    crawler: str
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
    """What a round of claiming brought; ``contended`` says that another node was faster for some of it."""

    jobs: list[Claimed]
    contended: bool


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


async def take_turn(on: Runs, node: str, changes: Sequence[Change], wants: Wants = NOTHING) -> Turn:
    """Store *changes*, and claim for *wants*. Raises what the database raises."""
    parameters = {
        **_reports(sorted(changes, key=lambda change: change.assignment)),
        "node": node,
        "key": list(wants.room),
        "wanted": list(wants.room.values()),
        "command": list(wants.commands),
    }
    held: dict[str, Stored] = {}
    jobs: list[Claimed] = []
    found = 0
    for row in await on.hot_query("turn", sql("turn"), parameters):
        if row[-2] is None:
            held[row[0]] = Stored(row[1], row[_ACCOUNT])
        else:
            found = row[-2]
            if row[0] is not None:
                jobs.append(Claimed(row[0], *row[2:-2]))
    return Turn(held, Claim(jobs, contended=len(jobs) < found))


def _reports(changes: Sequence[Change]) -> dict[str, Params]:
    return {
        "job": [job_of(change.assignment) for change in changes],
        "assignment": [change.assignment for change in changes],
        "crawler": [change.crawler for change in changes],
        "started": [change.started for change in changes],
        "completed": [isinstance(change.ending, Completed) for change in changes],
        "progress": [_json(change.progress) if change.progress else None for change in changes],
        "resume": [_json(change.resume_state) if change.resume_state is not None else None for change in changes],
    }


def _json(value: dict[str, Any]) -> str:
    return orjson.dumps(value).decode()
