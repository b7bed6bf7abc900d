"""What people decide about crawlers: to drain, quarantine and release them, and to ask them to exit."""

from copilot_socket.core.crawler_modes import Mode
from copilot_socket.store.database import Database
from copilot_socket.store.sql import sql


class CrawlerModes:
    """Reads and writes over the pool; the nodes of the crawlers are notified. Crawlers are named by their ids."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def set(self, crawler: str, mode: Mode) -> bool:
        """Give *crawler* this mode; False if there is no such crawler."""
        return bool(await self._database.query(sql("set_crawler_mode"), {"crawler": crawler, "mode": str(mode)}))

    async def suspect(self, key: str, suspected: bool) -> None:
        """Record whether the crawler with identity *key* fails everything."""
        await self._database.query(sql("suspect_crawler"), {"key": key, "suspected": suspected})

    async def shut_down(self, crawler: str) -> bool | None:
        """Ask *crawler* to exit; False if it is not connected, None if there is no such crawler."""
        if await self._database.query(sql("shut_down_crawler"), {"crawler": crawler}):
            return True
        return False if await self._database.query(sql("crawler_known"), {"crawler": crawler}) else None
