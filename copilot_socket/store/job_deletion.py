"""Deletion of jobs that are over, some at a time."""

from collections.abc import Sequence

from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.sql import sql

ORPHANS = 500
"""Jobs that lose their parent in one transaction."""


async def orphan_children(database: Database, jobs: Sequence[str]) -> None:
    """Have no job name one of *jobs* that are terminal, and spawn no more, as its parent.

    Deleting one with many children would take long while it holds locks.
    """
    given = {"job": list(jobs), "limit": ORPHANS}
    while True:
        # A transaction is repeated after a deadlock; in which order others lock parents and children is not known.
        [(count,)] = await database.transaction(lambda tx: tx.query(sql("orphan_children"), given))
        if count < ORPHANS:
            return


async def delete_jobs(tx: Transaction, jobs: Sequence[str]) -> dict[str, str]:
    """Delete those of *jobs* that are terminal; return these: id → state."""
    return dict(await tx.query(sql("delete_jobs"), {"job": sorted(jobs)}))
