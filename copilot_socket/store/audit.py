"""The table ``audit_log``: acts of people, refusals, and summing up what is repeated (docs/adr/0017-audit-log.md)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import attrs
import orjson
from twisted.logger import Logger

from copilot_socket.core.acts import Act, columns
from copilot_socket.core.printing import printable
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.idempotency import take
from copilot_socket.store.sql import sql

_log = Logger("copilot_socket.audit")
MINUTE = timedelta(minutes=1)
LATE = 600.0
"""Seconds in which a row may still be committed into a minute that is over: longer than most transactions."""
FIRST = 86400.0
"""Seconds that the first round of a node looks back: others may have ended without one."""
MINUTES = 60
"""Minutes with rows that one round sums up: a round ends in time, and the next one goes on."""
LONGEST = 512
"""Characters that are kept of an actor, an address and what was asked for, where a stranger chooses them."""
LOGGED = 4096
"""Characters of an actor, and of what it did, in a line of the log: the row has all of them."""


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
    """Write the rows of *acts* in *tx*, and log them once it is committed; None: nobody's, or nothing changed.

    All are of one request, whose key is taken with them. Raises :class:`.KeyTaken` if another request has it.
    """
    real = [act for act in acts if act is not None]
    if real:
        if real[0].key is not None:
            await take(tx, real[0].key)
        await tx.query(sql("record_acts"), columns(real))
        tx.after_commit += [partial(_log_act, act) for act in real]


def _log_act(act: Act) -> None:
    who = act.actor.name if act.actor.address is None else f"{act.actor.name} at {act.actor.address}"
    details = orjson.dumps(dict(act.details)).decode() if act.details else None
    what = printable(" ".join(filter(None, (act.action, act.target, details))))
    _log.info("{who} over {door}: {what}", who=_logged(who), door=act.door, what=_logged(what))


def _logged(text: str) -> str:
    return text if len(text) <= LOGGED else f"{text[:LOGGED]}\u2026"


class AuditLog:
    """Writes and sums up rows over the pool of *database*."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._since: datetime | None = None
        """The end of the last minute that was summed up."""

    async def refused(self, refusals: Sequence[Refusals]) -> None:
        """Write the rows of *refusals*."""
        rows = [attrs.asdict(each) for each in refusals]
        await self._database.query(
            sql("record_refusals"),
            {field.name: [row[field.name] for row in rows] for field in attrs.fields(Refusals)},
        )

    async def sum_up(self) -> int:
        """Make one row of those that are equal within a minute that is over; return how many fewer there are.

        Each minute is a transaction, so that a round that fails has not been in vain.
        """
        fewer, late = 0, FIRST if self._since is None else LATE
        for _ in range(MINUTES):
            begins, gone = await self._database.transaction(partial(_sum_minute, since=self._since, late=late))
            fewer += gone
            if begins is None:
                break
            self._since, late = begins + MINUTE, 0.0
        return fewer


async def _sum_minute(tx: Transaction, since: datetime | None, late: float) -> tuple[datetime | None, int]:
    """Sum up the first minute after *since*, or *late* seconds ago; its beginning, and how many fewer rows there are.

    None: there is no such minute, or another node is at it.
    """
    [(ours,)] = await tx.query(sql("audit_lock"))
    if not ours:
        return None, 0
    [(begins, gone)] = await tx.query(sql("audit_sum"), {"since": since, "late": late})
    return begins, gone
