"""The counters of jobs: folded every second, compared with the jobs every day (docs/adr/0021)."""

from functools import partial

from twisted.internet.task import deferLater
from twisted.logger import Logger

from copilot_socket.event_bus import CountsRepaired, EventBus
from copilot_socket.store.connection import Row, Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.faults import DATABASE_ERRORS, DatabaseAway
from copilot_socket.store.sql import sql

FOLDED = 10_000
"""Deltas that one transaction folds, at most."""
ROUNDS = 10
"""Transactions of one round of folding, at most."""
ACCOUNTS = 1000
"""Accounts whose ids are read at a time."""
PAUSE = 0.05
"""Seconds between the comparisons of two accounts."""


class Counters:
    """Maintains the counters over the pool of *database*."""

    log = Logger()

    def __init__(self, database: Database, bus: EventBus) -> None:
        self._database = database
        self._bus = bus

    async def fold(self) -> None:
        """Add what statements have changed to the counters, unless another node is at it."""
        for _ in range(ROUNDS):
            if await self._database.transaction(_fold) < FOLDED:
                break

    async def check_daily(self) -> None:
        """:meth:`check`, if no node has begun to within a day."""
        if await self._database.query(sql("check_due")):
            await self.check()

    async def check(self) -> int:
        """Compare the counters with the jobs, and repair those that are wrong; return their number.

        An account that can't be compared is logged and left out.
        """
        repaired, after = 0, ""
        while accounts := await self._database.query(sql("counted_accounts"), {"after": after, "limit": ACCOUNTS}):
            for (account,) in accounts:
                repaired += await self._check(account)
                await deferLater(self._database.reactor, PAUSE)
            after = accounts[-1][0]
        return repaired

    async def _check(self, account: str) -> int:
        try:
            wrong = await self._database.transaction(partial(_compare, account=account))
        except DatabaseAway:
            raise
        except DATABASE_ERRORS as error:
            self.log.error(
                "The jobs of account {account} can't be counted: {error}", account=account, error=str(error).strip()
            )
            return 0
        for user, command, state, counted, jobs in wrong:
            self.log.warn(
                "A counter of jobs was wrong and is repaired: account {account}, user {user}, {command}, {state}:"
                " {counted} instead of {jobs}",
                account=account,
                user=user or "none",
                command=command,
                state=state,
                counted=counted,
                jobs=jobs,
            )
        if wrong:
            self._bus.publish(CountsRepaired(len(wrong)))
        return len(wrong)


async def _fold(tx: Transaction) -> int:
    [(ours,)] = await tx.query(sql("fold_lock"))
    if not ours:
        return 0
    [(count,)] = await tx.query(sql("fold_counts"), {"limit": FOLDED})
    return int(count)


async def _compare(tx: Transaction, account: str) -> list[Row]:
    await tx.query(sql("check_lock"))
    return await tx.query(sql("check_counts"), {"account": account})
