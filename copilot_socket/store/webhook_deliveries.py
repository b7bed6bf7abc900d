"""Deliveries of webhooks: made from live events, and taken by the nodes that send them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
from twisted.logger import Logger

from copilot_socket.core.live_events import Lost, decoded
from copilot_socket.core.vault import Vault, webhook_secret
from copilot_socket.core.webhooks import PATTERN, Notice, Verdict, notice_of
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.sql import sql
from copilot_socket.store.webhooks import MOST

LEASE = 60.0
"""Seconds for which a delivery is a node's: longer than an attempt takes."""
ROWS = 1000
"""Rows of live events that are read in one transaction."""
MOST_PENDING = 10_000
"""Deliveries that may wait for a webhook; what happens beyond that is not told."""


@attrs.frozen
class Taken:
    """A delivery that this node is to send; ``age`` in seconds; secrets as they are stored."""

    id: str
    webhook: str
    url: str
    event: str
    at: datetime
    payload: str = attrs.field(repr=False)
    attempts: int
    age: float
    secret: str = attrs.field(repr=False)
    former_secret: str | None = attrs.field(repr=False)


class WebhookDeliveries:
    """Reads and writes over the pool of *database*."""

    log = Logger()

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def active(self) -> Mapping[str, frozenset[str]]:
        """The webhooks that are active, and what they are told of."""
        rows = await self._database.query(sql("active_webhooks"), {"limit": MOST})
        return {webhook: frozenset(events) for webhook, events in rows}

    async def make(self) -> int:
        """Make the deliveries of the next live events; return how many are still to be read, or were, at least.

        The place among the live events is stored in the same transaction: each is read once, by whichever node.
        """
        return await self._database.transaction(self._make)

    async def _make(self, tx: Transaction) -> int:
        for place, last in await tx.query(sql("lock_place")):
            if last is None or place == last:
                return 0
            if place is None or place > last:  # the numbers are those of another time: see numbers_valid
                await tx.query(sql("keep_webhook_place"), {"number": last})
                return 0
            rows = await tx.query(sql("rows_for_webhooks"), {"after": place, "limit": ROWS, "pattern": PATTERN})
            if not rows:
                return 0
            found, gap = _notices(rows, place + 1)
            if gap:
                self.log.warn("Live events were lost; webhooks are not told of what happened then")
            await self._add(tx, found)
            await tx.query(sql("keep_webhook_place"), {"number": rows[-1][0]})
            return int(last - rows[-1][0])
        await tx.query(sql("have_place"))
        return 0

    async def _add(self, tx: Transaction, found: Sequence[tuple[datetime, Notice]]) -> None:
        if not found:
            return
        values = {
            "event": [notice.event for _, notice in found],
            "at": [at for at, _ in found],
            "payload": [notice.payload for _, notice in found],
            "most": MOST_PENDING,
        }
        [(_, dropped)] = await tx.query(sql("add_deliveries"), values)
        if dropped:
            text = "{count} messages are dropped: {most} others wait for their webhooks"
            self.log.warn(text, count=dropped, most=MOST_PENDING)

    async def take(self, webhooks: Sequence[str]) -> list[Taken]:
        """The next due delivery of each of *webhooks*, for :data:`LEASE` seconds this node's."""
        rows = await self._database.query(sql("take_deliveries"), {"webhooks": list(webhooks), "lease": LEASE})
        return [Taken(*row) for row in rows]

    def secrets(self, taken: Taken) -> list[str]:
        """The secrets to sign it with, the present one first. Raises ``VaultError``."""
        stored = {"secret": taken.secret, "former_secret": taken.former_secret}
        return [
            self._vault.decrypt(text, webhook_secret(taken.webhook, column))
            for column, text in stored.items()
            if text is not None
        ]

    async def settle(self, taken: Taken, verdict: Verdict, code: int | None, error: str | None) -> None:
        """Store the outcome of an attempt."""

        async def work(tx: Transaction) -> None:
            values = {"id": taken.id, "attempts": taken.attempts, "status": verdict.status, "wait": verdict.wait}
            await tx.query(sql("settle_delivery"), {**values, "code": code, "error": error})
            if verdict.gone:
                await tx.query(sql("stop_webhook"), {"id": taken.webhook})
                await tx.query(sql("drop_pending"), {"id": taken.webhook})
                await tx.query(sql("notify_webhooks"))

        await self._database.transaction(work)

    async def release(self, taken: Taken) -> None:
        """Let any node send it at once: this one has not, or does not know whether it has."""
        await self._database.query(sql("release_delivery"), {"id": taken.id, "attempts": taken.attempts})


def _notices(rows: Sequence[Any], first: int) -> tuple[list[tuple[datetime, Notice]], bool]:
    """What *rows* tell of, and whether some are lost: *first* is the number of the first if none is."""
    found: list[tuple[datetime, Notice]] = []
    gap = rows[0][0] != first
    for _, at, changes, lost in rows:
        gap = gap or lost
        try:
            for live in decoded(changes or "[]"):
                notice = notice_of(live)
                if notice is not None:
                    found.append((at, notice))
        except (Lost, TypeError, AttributeError):  # or a row that no node has written
            gap = True
    return found, gap
