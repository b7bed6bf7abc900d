"""Deletion of jobs that are over, some at a time."""

from collections.abc import Collection, Sequence

from copilot_socket.core.jobs import TERMINAL, Status
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.sql import sql

ORPHANS = 500
"""Jobs without their parent, in one statement."""


async def orphan_children(database: Database, jobs: Sequence[str]) -> None:
    """Have no job name one of *jobs* that are terminal, and spawn no more, as its parent.

    Deleting one with many children would take long while it holds locks.
    """
    while True:
        [(count,)] = await database.query(sql("orphan_children"), {"job": list(jobs), "limit": ORPHANS})
        if count < ORPHANS:
            return


async def delete_jobs(tx: Transaction, jobs: Sequence[str], among: Collection[Status] = TERMINAL) -> dict[str, str]:
    """Delete those of *jobs* that are in one of the terminal states *among*; return these: id → state."""
    return dict(await tx.query(sql("delete_jobs"), {"job": sorted(jobs), "among": sorted(among)}))
