"""Crawlers and nodes over HTTP (docs/http.md, "Crawlers, nodes, statistics")."""

from typing import Annotated

import attrs

from copilot_socket.core.crawler_modes import Mode
from copilot_socket.core.describing import doc
from copilot_socket.http.answers import list_of, page
from copilot_socket.http.checks import flag, one_of, short_name, some_of
from copilot_socket.http.endpoints import endpoint
from copilot_socket.http.messages import Call, Problem, Reply, reply
from copilot_socket.http.queries import PAGING, Listed, given
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.crawler_lists import ASSIGNMENTS
from copilot_socket.store.crawler_modes import CrawlerModes
from copilot_socket.store.shown.crawlers import Crawler, Node


@attrs.frozen(kw_only=True)
class CrawlerQuery(Listed):
    """Which crawlers."""

    connected: Annotated[bool | None, flag, doc("Whether they are connected.")] = None
    mode: Annotated[str | None, one_of(*Mode), doc("Whether they are given work.")] = None
    stale: Annotated[bool | None, flag, doc("Whether they are silent, but have an open connection.")] = None
    include: Annotated[
        frozenset[str], some_of(ASSIGNMENTS), doc("What is else left out: what they hold, and since when.")
    ] = frozenset()


@attrs.frozen(kw_only=True)
class CrawlerMode:
    """A crawler that was given a mode."""

    id: Annotated[str, doc("Its id.")]
    mode: Annotated[Mode, doc("Whether it is given work.")]


@attrs.frozen(kw_only=True)
class CrawlerShutdown:
    """A crawler that is asked to exit."""

    id: Annotated[str, doc("Its id.")]
    shutdown: Annotated[bool, doc("True.")]


CrawlerList = list_of("crawlers", Crawler)
NodeList = list_of("nodes", Node)


@attrs.frozen
class CrawlerHandlers:
    """Handles requests under ``/api/v1`` for crawlers and nodes."""

    catalog: Catalog
    modes: CrawlerModes

    @endpoint({200: CrawlerList})
    async def list_crawlers(self, _call: Call, query: CrawlerQuery) -> Reply:
        """Crawlers, connected now or recently."""
        filters = given(query, *PAGING, "include")
        return page("crawlers", await self.catalog.crawlers.page(query.page, filters, query.include))

    @endpoint({200: Crawler})
    async def show_crawler(self, call: Call) -> Reply:
        """One crawler, with what it holds, and since when."""
        crawler = await self.catalog.crawlers.one(call.named(short_name, _no_crawler()))
        if crawler is None:
            raise _no_crawler()
        return reply(crawler)

    @endpoint({200: NodeList})
    async def list_nodes(self, _call: Call, query: Listed) -> Reply:
        """The nodes, and what each serves."""
        return page("nodes", await self.catalog.crawlers.nodes(query.page))

    @endpoint({200: CrawlerMode})
    async def drain_crawler(self, call: Call) -> Reply:
        """Give a crawler no more work."""
        return await self._mode(call, Mode.DRAINING, "crawler.drain")

    @endpoint({200: CrawlerMode})
    async def quarantine_crawler(self, call: Call) -> Reply:
        """Give a crawler no more work, since it fails what others do."""
        return await self._mode(call, Mode.QUARANTINED, "crawler.quarantine")

    @endpoint({200: CrawlerMode})
    async def release_crawler(self, call: Call) -> Reply:
        """Give a crawler work again."""
        return await self._mode(call, Mode.SERVING, "crawler.release")

    @endpoint({202: CrawlerShutdown}, problems=(409,))
    async def shut_down_crawler(self, call: Call) -> Reply:
        """Ask a connected crawler to exit."""
        crawler = call.named(short_name, _no_crawler())
        asked = await self.modes.shut_down(crawler, call.act("crawler.shutdown"))
        if asked is None:
            raise _no_crawler()
        if not asked:
            raise Problem(409, "Crawler is not connected")
        return reply({"id": crawler, "shutdown": True}, 202)

    async def _mode(self, call: Call, mode: Mode, action: str) -> Reply:
        crawler = call.named(short_name, _no_crawler())
        if not await self.modes.set(crawler, mode, call.act(action)):
            raise _no_crawler()
        return reply({"id": crawler, "mode": str(mode)})


def _no_crawler() -> Problem:
    return Problem(404, "No such crawler")
