"""Lists and counts of crawlers, and of the nodes that serve them."""

from collections.abc import Mapping
from typing import Any

from copilot_socket.core.crawler_modes import Mode
from copilot_socket.store.columns import columns
from copilot_socket.store.database import Database
from copilot_socket.store.listing import Listing, Lists, Page, Record
from copilot_socket.store.shown.crawlers import CRAWLERS, NODES, STALE, Crawler, Node

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

    async def page(self, page: Page, filters: Mapping[str, Any]) -> Listing:
        """Crawlers by key, with what each holds and how it was last seen. *filters*: by :data:`_CONDITIONS`."""
        conditions = [_CONDITIONS[name] for name in filters]
        return await self._lists.read(
            CRAWLERS, columns(Crawler), page, key=["c.key"], conditions=conditions, filters=filters
        )

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
