"""How many jobs and accounts there are, by state, and how the queue is."""

from collections.abc import Mapping

import attrs

from copilot_socket.core.jobs import Status
from copilot_socket.store.database import Database
from copilot_socket.store.sql import ROUTES, sql

CREDENTIAL_STATES = ("valid", "expired")


@attrs.frozen
class JobCounts:
    """Jobs by state; ``oldest``: seconds that the oldest claimable one has been due (0 where there is none).

    ``unroutable``: claimable ones that no connected crawler takes.
    """

    by_status: Mapping[Status, int]
    oldest: float
    unroutable: int


async def count_jobs(database: Database) -> JobCounts:
    """Count the jobs: on full tables this takes seconds."""
    counted: dict[str, int] = dict(await database.query(sql("count_jobs")))
    [(oldest,)] = await database.query(sql("queue_age"))
    [(unroutable,)] = await database.query(sql("unroutable"), ROUTES)
    return JobCounts({status: counted.get(status, 0) for status in Status}, max(oldest, 0.0), unroutable)


async def count_accounts(database: Database) -> Mapping[str, int]:
    """Accounts by the state of their credentials."""
    counted: dict[str, int] = dict(await database.query(sql("count_accounts")))
    return {state: counted.get(state, 0) for state in CREDENTIAL_STATES}
