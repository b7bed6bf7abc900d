"""What people decide about crawlers: to drain, quarantine and release them, and to ask them to exit."""

from copilot_socket.core.acts import Act
from copilot_socket.core.crawler_modes import Mode
from copilot_socket.core.live_events import LiveEvent
from copilot_socket.store.audit import record
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.live_events import append_events
from copilot_socket.store.sql import sql


class CrawlerModes:
    """Reads and writes over the pool; the nodes of the crawlers are notified. Crawlers are named by their ids."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def set(self, crawler: str, mode: Mode, act: Act) -> bool:
        """Give *crawler* this mode, by *act*; False if there is no such crawler."""

        async def work(tx: Transaction) -> bool:
            rows = await tx.query(sql("set_crawler_mode"), {"crawler": crawler, "mode": str(mode)})
            former = [was for was, *_ in rows if was != mode]  # of several identities that are shown by this id
            if former:
                await record(tx, act.change(crawler, mode=(former[0], str(mode))))
                await append_events(tx, LiveEvent("connection", {"crawler_id": crawler, "event": str(mode)}))
            return bool(rows)

        return await self._database.transaction(work)

    async def suspect(self, key: str, suspected: bool) -> None:
        """Record whether the crawler with identity *key* fails everything."""
        await self._database.query(sql("suspect_crawler"), {"key": key, "suspected": suspected})

    async def shut_down(self, crawler: str, act: Act) -> bool | None:
        """Ask *crawler* to exit, by *act*; False if it is not connected, None if there is no such crawler."""

        async def work(tx: Transaction) -> bool:
            asked = bool(await tx.query(sql("shut_down_crawler"), {"crawler": crawler}))
            await record(tx, act.on(crawler) if asked else None)
            return asked

        if await self._database.transaction(work):
            return True
        return False if await self._database.query(sql("crawler_known"), {"crawler": crawler}) else None
