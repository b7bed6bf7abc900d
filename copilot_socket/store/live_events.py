"""The table ``events``: stored by the transactions that change something, numbered once these are committed.

See docs/adr/0027-live-events.md.
"""

from collections.abc import Sequence
from datetime import datetime

import attrs
from twisted.internet.defer import DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from copilot_socket.core.identity import crawler_name
from copilot_socket.core.live_events import LiveEvent, Position, encoded, job, joined
from copilot_socket.event_bus import JobChanged
from copilot_socket.store.connection import HOT, Connection, Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.faults import lock_timed_out
from copilot_socket.store.sql import sql

CHANNEL = "copilot_events"
"""Notifies nodes of new numbers."""
SLOTS = 8
"""Partitions of two minutes each: the present one, six that are kept, and one that is emptied."""
TRY_EACH = 1.0
"""Seconds between attempts of a node to become the one that gives the numbers."""
RETRY = 1.0
"""Seconds before the next attempt after a failure."""
LOOK_EACH = 2.0
"""Seconds between looks at the size of the table, and whether another partition is due."""
MOST_ROWS = 100_000
"""Rows that a round numbers; where there are more, nobody is told of them one by one."""
MOST_READERS = 2
"""Reads of events at a time: others need the pool's connections, too."""
READ_BYTES = 256 * 1024
"""Bytes of rows that are read at a time, but for a larger row."""
MOST_BYTES = 512 * 1024 * 1024
"""Size of the table; beyond it, the oldest partitions are emptied early."""
SETTINGS = f"{HOT} SET idle_session_timeout = '10s'; SET statement_timeout = '5s'"
"""The server ends the session of a node that stands still, so that another one takes over."""


async def append(tx: Transaction, changes: Sequence[JobChanged]) -> None:
    """Store *changes* as live events, in the transaction that makes them."""
    if changes:
        await append_events(tx, *map(_changed, changes))


async def append_events(tx: Transaction, *events: LiveEvent) -> None:
    """Store *events* in the transaction that makes the change."""
    await tx.query(sql("append_events"), {"changes": joined(map(encoded, events))})


def _changed(change: JobChanged) -> LiveEvent:
    return job(
        change.job_id,
        str(change.event),
        status=str(change.status),
        crawler_job_id=change.assignment,
        crawler_id=None if change.crawler is None else crawler_name(change.crawler),
        account_id=change.account,
        user_id=change.user,
        outcome=None if change.outcome is None else str(change.outcome),
        cause=None if change.cause is None else str(change.cause),
        reason=change.reason,
        error=change.fingerprint,
        failures=change.failures,
    )


class Numbering:
    """Numbers the events of all nodes, as long as this is the node that does; *connection* is its own."""

    log = Logger()

    def __init__(self, connection: Connection, reactor: IReactorTime) -> None:
        self._connection = connection
        connection.on_lost = self._lost
        self._reactor = reactor
        self._holds = False
        self._try_at = self._look_at = float("-inf")

    @property
    def holds(self) -> bool:
        """Whether this node gives the numbers."""
        return self._holds

    async def run(self, changes: Sequence[str]) -> None:
        """Store *changes*, if any, as a row of events; give numbers to what is committed. Called each 20 ms.

        Raises the database's error. Whether *changes* are stored is unknown then.
        """
        if changes:
            await self._connection.query(sql("append_events"), {"changes": joined(changes)})
        if not self._holds and self._reactor.seconds() >= self._try_at:
            self._try_at = self._reactor.seconds() + TRY_EACH
            await self._take_over()
        if self._holds:
            [(usable, _)] = await self._connection.hot_query(
                "number_events", sql("number_events"), {"most": MOST_ROWS}
            )
            if not usable:
                await self._begin()
            if self._reactor.seconds() >= self._look_at:
                self._look_at = self._reactor.seconds() + LOOK_EACH
                await self._forget()

    def close(self) -> None:
        """Let another node take over."""
        self._connection.close()

    async def _take_over(self) -> None:
        [(held,)] = await self._connection.query(sql("hold_numbering"))
        if not held:
            return
        [(valid,)] = await self._connection.query(sql("numbers_valid"))
        if not valid:
            await self._begin()
        self._holds, self._look_at = True, float("-inf")
        self.log.debug("This node numbers the live events")

    async def _begin(self) -> None:
        """Begin the numbers anew: who follows them sees a gap."""
        await self._connection.query(sql("begin_numbers"))

    async def _forget(self) -> None:
        """Empty the partition that comes next, and the oldest ones while the table is too large.

        That may be the present one, with the last numbers: the next round begins them anew.
        """
        slots = await self._connection.query(sql("event_slots"))
        total = sum(size for _, size in slots)
        for number, (slot, size) in enumerate(slots):
            if number == 0 or total > MOST_BYTES:
                if size > _EMPTY:
                    await self._empty(slot)
                total -= size

    async def _empty(self, slot: int) -> None:
        try:
            await self._connection.query(sql("forget_events"), {"slot": slot})
        except Exception as error:
            if not lock_timed_out(error):
                raise
            # A transaction that has read or written it is still open: the next look tries again.

    def _lost(self) -> None:
        self._holds = False


_EMPTY = 64 * 1024
"""Bytes of a partition without rows, with its indexes, at most."""


@attrs.frozen
class StoredEvents:
    """A numbered row: ``changes`` as in :func:`.decoded`; None: they are lost."""

    number: int
    at: datetime | None
    changes: str | None


class LiveEventReader:
    """Reads numbered events from *database*."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._readers = DeferredSemaphore(MOST_READERS)

    async def last(self) -> Position | None:
        """The position behind the last event; None: there are no numbers yet."""
        rows = await self._database.query(sql("last_event"))
        return Position(rows[0][0] + 1) if rows else None

    async def after(self, number: int, limit: int) -> list[StoredEvents]:
        """Up to *limit* rows behind *number*, in order, and of some :data:`READ_BYTES`."""
        asked = {"after": number, "limit": limit, "bytes": READ_BYTES}
        await self._readers.acquire()
        try:
            rows = await self._database.hot_query("events_after", sql("events_after"), asked)
        finally:
            self._readers.release()
        return [StoredEvents(*row) for row in rows]
