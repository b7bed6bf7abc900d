"""Handing out jobs: claims in batches, assignments that were never reported on, and jobs that fall due."""

from collections.abc import Sequence
from typing import Any

import attrs

from copilot_socket.store.connection import Connection
from copilot_socket.store.sql import sql


@attrs.frozen
class Claimed:
    """An assignment to be sent to its crawler. ``access_token`` is as stored; times are in seconds."""

    assignment: str
    crawler: str
    entity_type: str
    entity_id: str
    gitlab_url: str
    resume_state: dict[str, Any] | None
    command: str
    full_path: str | None
    area_type: str | None
    branch: str | None
    try_: int
    account: str
    access_token: str
    expires_in: float | None
    """Until the token expires; None where that is not known."""
    credential_status: str
    waited: float | None
    """Since the job fell due; None for one that was sent before."""


@attrs.frozen
class Claim:
    """What a round of claiming brought; ``contended`` says that another node was faster for some of it."""

    jobs: list[Claimed]
    contended: bool


class Claims:
    """Claims over a connection of its own, for the crawlers of one node."""

    def __init__(self, connection: Connection, node: str) -> None:
        self._connection = connection
        self._node = node

    async def claim(self, slots: Sequence[str], entity_types: Sequence[str]) -> Claim:
        """Claim up to one job for each of *slots* (crawler keys, repeated for several jobs), best jobs first."""
        rows = await self._connection.hot_query(
            "claim",
            sql("claim"),
            {
                "key": list(slots),
                "entity_types": list(entity_types),
                "wanted": len(slots),
                "node": self._node,
            },
        )
        jobs = [Claimed(*row[:-1]) for row in rows if row[0] is not None]
        return Claim(jobs, contended=len(jobs) < rows[0][-1])

    async def unreported(self, keys: Sequence[str]) -> list[Claimed]:
        """The live assignments of *keys* that were never reported on."""
        rows = await self._connection.query(sql("unreported"), {"key": list(keys)})
        return [Claimed(*row[:-1]) for row in rows]

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
