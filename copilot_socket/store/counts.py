"""Counts of jobs and accounts by state, and the age of the queue."""

from collections.abc import Collection, Mapping

import attrs

from copilot_socket.core.history import status_of
from copilot_socket.core.jobs import Status
from copilot_socket.store.database import Database
from copilot_socket.store.sql import ROUTES, sql

CREDENTIAL_STATES = ("valid", "expired")
_LANES = ("open", "unroutable", "held_back")
"""The states of lanes, in which jobs that are ready are counted."""


@attrs.frozen
class JobCounts:
    """Jobs by state, in one snapshot. ``commands``: command → state → number, of commands with jobs.

    ``scheduled``: queued ones that are not due yet. ``held_back``: claimable ones that pauses, host holds, limits,
    budgets or a credential keep back; of these ``path_paused``: by a pause of their path. Of the others:
    ``unroutable`` by command, which no connected crawler takes that may be given work; ``oldest``: seconds since the
    first of the rest in some lane fell due, 0 where there is none.
    """

    commands: Mapping[str, Mapping[Status, int]]
    scheduled: int
    held_back: int
    path_paused: int
    unroutable: Mapping[str, int]
    oldest: float

    @property
    def by_status(self) -> Mapping[Status, int]:
        """Jobs of all commands by state."""
        return {status: sum(counts[status] for counts in self.commands.values()) for status in Status}


async def count_jobs(database: Database) -> JobCounts:
    """Count the jobs, by their counters."""
    rows = await database.query(sql("count_jobs"), ROUTES)
    commands: dict[str, dict[Status, int]] = {}
    states: dict[str, int] = {}
    for command, state, jobs, _ in rows:
        counts = commands.setdefault(command, dict.fromkeys(Status, 0))
        counts[Status.QUEUED if state in _LANES else status_of(state)] += jobs
        states[state] = states.get(state, 0) + jobs
    return JobCounts(
        commands,
        states.get("scheduled", 0),
        states.get("path_paused", 0) + states.get("held_back", 0),
        states.get("path_paused", 0),
        {command: jobs for command, state, jobs, _ in rows if state == "unroutable"},
        max((age for *_, age in rows if age is not None), default=0.0),
    )


async def count_jobs_of(
    database: Database, accounts: Collection[str] | None, users: Collection[str] | None
) -> Mapping[Status, int]:
    """Jobs of these accounts and users by state; None: of all."""
    given = {
        "accounts": None if accounts is None else sorted(accounts),
        "users": None if users is None else sorted(users),
    }
    counts = dict.fromkeys(Status, 0)
    for state, jobs in await database.query(sql("count_jobs_of"), given):
        counts[status_of(state)] += jobs
    return counts


async def count_accounts(database: Database) -> Mapping[str, int]:
    """Accounts by the state of their credentials."""
    counted: dict[str, int] = dict(await database.query(sql("count_accounts")))
    return {state: counted.get(state, 0) for state in CREDENTIAL_STATES}


async def count_budgets(database: Database) -> Mapping[str, int]:
    """Budgets of requests by what they keep back: all jobs, or some."""
    [(closed, throttled)] = await database.query(sql("count_budgets"))
    return {"closed": closed, "throttled": throttled}


async def count_deliveries(database: Database) -> tuple[int, float]:
    """Messages that webhooks are still to be sent, and the age of the oldest in seconds."""
    [(pending, oldest)] = await database.query(sql("count_deliveries"))
    return pending, oldest
