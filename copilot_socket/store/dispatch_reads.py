"""What dispatch needs beside the claims themselves: assignments to send again, lanes, jobs that fall due."""

from collections.abc import Sequence

from copilot_socket.store.database import Database
from copilot_socket.store.sql import sql
from copilot_socket.store.turns import Claimed

LANES = 1000
"""Lanes that one statement reads: some 2 ms."""


class DispatchReads:
    """Reads over the pool, for the crawlers of one node."""

    def __init__(self, database: Database, node: str) -> None:
        self._database = database
        self._node = node

    async def unreported(self, keys: Sequence[str]) -> list[Claimed]:
        """The live assignments of *keys* that were never reported on."""
        return [Claimed(*row) for row in await self._database.query(sql("unreported"), {"key": list(keys)})]

    async def not_ours(self, keys: Sequence[str]) -> set[str]:
        """Those of *keys* that asked last at another node."""
        rows = await self._database.query(sql("not_ours"), {"key": list(keys), "node": self._node})
        return {row[0] for row in rows}

    async def lanes(self, after: tuple[str, str] = ("", "")) -> list[tuple[str, str, int]]:
        """Account, command and the account's weight of the next ``LANES`` lanes that have work."""
        account, command = after
        rows = await self._database.query(sql("lanes"), {"account": account, "command": command, "limit": LANES})
        return [(row[0], row[1], row[2]) for row in rows]

    async def promote_due(self) -> list[tuple[str, str]]:
        """Make jobs claimable whose time has come; their lanes."""
        return [(row[0], row[1]) for row in await self._database.query(sql("promote_due"))]

    async def next_due(self) -> float | None:
        """The seconds until the next job falls due."""
        [(seconds,)] = await self._database.query(sql("next_due"))
        return None if seconds is None else float(seconds)
