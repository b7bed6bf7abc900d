"""Counts of jobs and accounts by state, and the age of the queue."""

from collections.abc import Mapping

import attrs

from copilot_socket.core.jobs import Status
from copilot_socket.store.database import Database
from copilot_socket.store.sql import ROUTES, sql

CREDENTIAL_STATES = ("valid", "expired")


@attrs.frozen
class JobCounts:
    """Jobs by state. ``oldest``: seconds since the oldest claimable job fell due, 0 where there is none.

    ``unroutable``: claimable jobs whose entity type no connected crawler takes.
    """

    by_status: Mapping[Status, int]
    oldest: float
    unroutable: int


async def count_jobs(database: Database) -> JobCounts:
    """Count the jobs. On large tables this takes seconds."""
    counted: dict[str, int] = dict(await database.query(sql("count_jobs")))
    [(oldest,)] = await database.query(sql("queue_age"))
    [(unroutable,)] = await database.query(sql("unroutable"), ROUTES)
    return JobCounts({status: counted.get(status, 0) for status in Status}, max(oldest, 0.0), unroutable)


async def count_accounts(database: Database) -> Mapping[str, int]:
    """Accounts by the state of their credentials."""
    counted: dict[str, int] = dict(await database.query(sql("count_accounts")))
    return {state: counted.get(state, 0) for state in CREDENTIAL_STATES}


async def count_budgets(database: Database) -> Mapping[str, int]:
    """Budgets of requests by what they keep back: all jobs, or some."""
    [(closed, throttled)] = await database.query(sql("count_budgets"))
    return {"closed": closed, "throttled": throttled}
