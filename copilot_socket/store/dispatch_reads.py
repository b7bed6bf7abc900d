"""Reads of the dispatcher beside claims: assignments to send again, lanes, and jobs that fall due."""

from collections.abc import Sequence

from copilot_socket.store.database import Database
from copilot_socket.store.sql import sql
from copilot_socket.store.turns import Claimed

LANES = 1000
"""Lanes that one statement reads, in some 2 ms."""


class DispatchReads:
    """Reads over the pool, for the crawlers of one node."""

    def __init__(self, database: Database, node: str) -> None:
        self._database = database
        self._node = node

    async def unreported(self, keys: Sequence[str]) -> list[Claimed]:
        """The live assignments of the crawlers *keys* that have no report yet."""
        return [Claimed(*row) for row in await self._database.query(sql("unreported"), {"key": list(keys)})]

    async def not_ours(self, keys: Sequence[str]) -> set[str]:
        """Those of the crawlers *keys* whose last job request went to another node."""
        rows = await self._database.query(sql("not_ours"), {"key": list(keys), "node": self._node})
        return {row[0] for row in rows}

    async def lanes(self, after: tuple[str, str] = ("", "")) -> list[tuple[str, str, int, str]]:
        """Account, command, the account's weight and origin: up to ``LANES`` lanes that have work, behind *after*."""
        account, command = after
        rows = await self._database.query(sql("lanes"), {"account": account, "command": command, "limit": LANES})
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    async def invalid_accounts(self) -> set[str]:
        """The accounts whose credentials do not work."""
        return {row[0] for row in await self._database.query(sql("invalid_accounts"))}

    async def promote_due(self) -> list[tuple[str, str]]:
        """Make due jobs claimable; return their lanes as (account, command)."""
        return [(row[0], row[1]) for row in await self._database.query(sql("promote_due"))]

    async def next_due(self) -> float | None:
        """Seconds until the next job falls due; None if none is scheduled."""
        [(seconds,)] = await self._database.query(sql("next_due"))
        return None if seconds is None else float(seconds)
