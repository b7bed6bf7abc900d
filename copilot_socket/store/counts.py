"""Counts of jobs and accounts by state, and the age of the queue."""

from collections.abc import Mapping

import attrs

from copilot_socket.core.jobs import Status
from copilot_socket.store.database import Database
from copilot_socket.store.sql import ROUTES, sql

CREDENTIAL_STATES = ("valid", "expired")


@attrs.frozen
class JobCounts:
    """Jobs by state. ``scheduled``: queued ones that are not due yet.

    ``held_back``: claimable ones that pauses, host holds, limits, budgets or a credential keep back. Of the others:
    ``unroutable`` by command, which no connected crawler takes that may be given work; ``oldest``: seconds since the
    oldest of the rest fell due, 0 where there is none.
    """

    by_status: Mapping[Status, int]
    scheduled: int
    held_back: int
    unroutable: Mapping[str, int]
    oldest: float


async def count_jobs(database: Database) -> JobCounts:
    """Count the jobs. On large tables this takes seconds."""
    counted: dict[str, int] = dict(await database.query(sql("count_jobs")))
    lanes = await database.query(sql("count_lanes"), ROUTES)
    [(scheduled, under_paths)] = await database.query(sql("count_waiting"))
    return JobCounts(
        {status: counted.get(status, 0) for status in Status},
        scheduled,
        under_paths + sum(jobs for _, state, jobs, _ in lanes if state == "held_back"),
        {command: jobs for command, state, jobs, _ in lanes if state == "unroutable"},
        max((age for *_, state, _, age in lanes if state == "open"), default=0.0),
    )


async def count_accounts(database: Database) -> Mapping[str, int]:
    """Accounts by the state of their credentials."""
    counted: dict[str, int] = dict(await database.query(sql("count_accounts")))
    return {state: counted.get(state, 0) for state in CREDENTIAL_STATES}


async def count_budgets(database: Database) -> Mapping[str, int]:
    """Budgets of requests by what they keep back: all jobs, or some."""
    [(closed, throttled)] = await database.query(sql("count_budgets"))
    return {"closed": closed, "throttled": throttled}
