"""Handing out jobs: claims in batches, assignments that were never reported on, and jobs that fall due."""

from collections.abc import Sequence

from copilot_socket.store.connection import Connection
from copilot_socket.store.sql import sql
from copilot_socket.store.turns import Claim, Claimed, Wants, claim


class Claims:
    """Claims over a connection of its own, for the crawlers of one node."""

    def __init__(self, connection: Connection, node: str) -> None:
        self._connection = connection
        self._node = node

    async def claim(self, wants: Wants) -> Claim:
        """Claim for each crawler key as many jobs as it wants and has room for; the best jobs first, in turns."""
        return await claim(self._connection, self._node, wants)

    async def unreported(self, keys: Sequence[str]) -> list[Claimed]:
        """The live assignments of *keys* that were never reported on."""
        rows = await self._connection.query(sql("unreported"), {"key": list(keys)})
        return [Claimed(*row) for row in rows]

    async def reserved(self) -> list[Claimed]:
        """What this node has claimed, and nobody has been put down for yet."""
        rows = await self._connection.query(sql("reserved"), {"node": self._node})
        return [Claimed(*row) for row in rows]

    async def take_over(self, keys: Sequence[str]) -> set[str]:
        """From now on this node pushes to *keys*, it is where they asked last; those that another node had."""
        rows = await self._connection.query(sql("take_over_pushes"), {"key": list(keys), "node": self._node})
        return {row[0] for row in rows}

    async def not_ours(self, keys: Sequence[str]) -> set[str]:
        """Those of *keys* that asked last at another node."""
        rows = await self._connection.query(sql("not_ours"), {"key": list(keys), "node": self._node})
        return {row[0] for row in rows}

    async def handed_token(self, assignments: Sequence[str]) -> list[str]:
        """Note that the crawlers of *assignments* were given their account's present token; those that still live."""
        jobs = [assignment.partition(".")[0] for assignment in assignments]
        rows = await self._connection.query(sql("handed_token"), {"job": jobs})
        return [row[0] for row in rows if row[0] in assignments]

    async def promote_due(self) -> tuple[int, float | None]:
        """Make jobs claimable whose time has come: how many, and the seconds until the next."""
        [(count, until)] = await self._connection.query(sql("promote_due"))
        return count, until
