"""The table ``audit_log``: acts of people, refusals, and summing up what is repeated (docs/adr/0017-audit-log.md)."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import attrs

from copilot_socket.core.acts import Act, columns
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.sql import sql

MINUTE = timedelta(minutes=1)
LATE = 600.0
"""Seconds in which a row may still be committed into a minute that is over: longer than most transactions."""
FIRST = 86400.0
"""Seconds that the first round of a node looks back: others may have ended without one."""
LONGEST = 512
"""Characters that are kept of an actor, an address and what was asked for, where a stranger chooses them."""


@attrs.frozen
class Refusals:
    """Refusals of one kind, ``count`` of them between *first* and *last*, in seconds ago."""

    door: str
    reason: str
    actor: str
    address: str | None
    what: str
    count: int
    first: float
    last: float


async def record(tx: Transaction, *acts: Act | None) -> None:
    """Write the rows of *acts* in *tx*; None: nobody's, or nothing changed."""
    real = [act for act in acts if act is not None]
    if real:
        await tx.query(sql("record_acts"), columns(real))


class AuditLog:
    """Writes and sums up rows over the pool of *database*."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looks_back = FIRST

    async def refused(self, refusals: Sequence[Refusals]) -> None:
        """Write the rows of *refusals*."""
        rows = [attrs.asdict(each) for each in refusals]
        await self._database.query(
            sql("record_refusals"),
            {field.name: [row[field.name] for row in rows] for field in attrs.fields(Refusals)},
        )

    async def sum_up(self) -> int:
        """Make one row of those that are equal within a minute that is over; return how many fewer there are."""

        async def work(tx: Transaction) -> int | None:
            [(ours,)] = await tx.query(sql("audit_lock"))
            if not ours:
                return None
            [(since,)] = await tx.query(sql("age_ago"), {"age": self._looks_back})
            fewer: int = 0
            while True:
                begins: datetime | None
                [(begins, gone)] = await tx.query(sql("audit_sum"), {"since": since})
                fewer += gone
                if begins is None:
                    return fewer
                since = begins + MINUTE

        fewer = await self._database.transaction(work)
        if fewer is not None:
            self._looks_back = LATE
        return fewer or 0
