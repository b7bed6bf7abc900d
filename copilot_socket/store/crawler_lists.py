"""Lists and counts of crawlers, and of the nodes that serve them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from copilot_socket.core.crawler_modes import Mode
from copilot_socket.store.columns import columns
from copilot_socket.store.crawler_ends import recent_ends
from copilot_socket.store.database import Database
from copilot_socket.store.listing import Listing, Lists, Page, Record, record
from copilot_socket.store.shown.crawlers import CRAWLERS, NODES, STALE, Crawler, HeldJob, Node
from copilot_socket.store.sql import sql

ASSIGNMENTS = "assignments"
"""Shown on request: what a crawler holds, and since when."""
# How many assignments of each crawler are shown, and how many bytes of the progress of each.
_IN_LISTS = {"most": 10, "bytes": 1024}
_ALONE = {"most": 1000, "bytes": 4096}

_CONDITIONS: Mapping[str, str] = {
    "connected": "(c.lease_expires_at > now()) = %(connected)s",
    "mode": "c.mode = %(mode)s",
    "stale": f"{STALE} = %(stale)s",
}

_COUNTS = f"""
SELECT count(*) FILTER (WHERE c.lease_expires_at > now()),
       count(*) FILTER (WHERE c.lease_expires_at > now() AND plain),
       count(*) FILTER (WHERE {STALE}), count(*),
       (SELECT count(*) FROM job_assignments WHERE completed_at IS NULL AND crawler_key IS NOT NULL)
FROM crawlers c
"""

_MODES = "SELECT mode, count(*) FROM crawlers WHERE lease_expires_at > now() GROUP BY mode"


class CrawlerLists:
    """Reads from *database*."""

    def __init__(self, database: Database, lists: Lists) -> None:
        self._database = database
        self._lists = lists

    async def page(self, page: Page, filters: Mapping[str, Any], include: Collection[str] = ()) -> Listing:
        """Crawlers by key, with what each holds and how it was last seen.

        *filters*: by :data:`_CONDITIONS`; *include*: of :data:`ASSIGNMENTS`.
        """
        conditions = [_CONDITIONS[name] for name in filters]
        listing = await self._lists.read(
            CRAWLERS, columns(Crawler), page, key=["c.key"], conditions=conditions, filters=filters
        )
        await self._add(listing.rows, _IN_LISTS if ASSIGNMENTS in include else None)
        return listing

    async def one(self, crawler_id: str) -> Record | None:
        """The crawler with this id, of several one that is connected; None if there is none."""
        shown = columns(Crawler)
        rows = await self._database.query(
            f"SELECT {', '.join(shown.values())} FROM {CRAWLERS} WHERE c.crawler_id = %(id)s"
            " ORDER BY c.lease_expires_at DESC, c.key LIMIT 1",
            {"id": crawler_id},
        )
        found = [record(list(shown), row) for row in rows]
        await self._add(found, _ALONE)
        return found[0] if found else None

    async def _add(self, crawlers: Sequence[Record], assignments: Mapping[str, int] | None) -> None:
        """Add what is beside the rows; *assignments*: how much is shown of these, None: nothing."""
        if not crawlers:
            return
        keys = [crawler["key"] for crawler in crawlers]
        recent = await recent_ends(self._database, keys)
        for crawler in crawlers:
            crawler["recent"] = recent[crawler["key"]]
        if assignments is not None:
            names = list(columns(HeldJob))
            held: dict[str, list[Record]] = {key: [] for key in keys}
            for key, *row in await self._database.query(sql("crawler_assignments"), {"key": keys, **assignments}):
                held[key].append(record(names, row))
            for crawler in crawlers:
                crawler[ASSIGNMENTS] = held[crawler["key"]]

    async def counts(self) -> Record:
        """Counts of crawlers, and of what they hold."""
        [(connected, plain, stale, known, held)] = await self._database.query(_COUNTS)
        modes: dict[str, int] = dict(await self._database.query(_MODES))
        return {
            "connected": connected,
            "plain": plain,
            "modes": {str(mode): modes.get(mode, 0) for mode in Mode},
            "stale": stale,
            "known": known,
            "assignments": held,
        }

    async def nodes(self, page: Page) -> Listing:
        """Nodes by id, with what each serves."""
        return await self._lists.read(NODES, columns(Node), page, key=["n.id"])
