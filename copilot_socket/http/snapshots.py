"""The state of things that a stream of live events begins with, and counts, read once for all streams."""

from typing import Any

import attrs
from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime

from copilot_socket.core.live_events import Position
from copilot_socket.http.events import Scope
from copilot_socket.http.overview import Overviews
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.listing import Page
from copilot_socket.store.live_events import LiveEventReader

FRESH = 1.0
"""Seconds for which a snapshot serves further streams: they are sent what has come since, too."""
MOST_CRAWLERS = 1000
MOST_KEPT = 100
"""Scopes of which snapshots are kept."""


@attrs.frozen
class Snapshot:
    """The state of things; all events from ``position`` on may change it, and some of them have."""

    position: Position
    data: dict[str, Any]


class Snapshots:
    """Reads counts, queue and crawlers, and the overview."""

    def __init__(self, catalog: Catalog, reader: LiveEventReader, overviews: Overviews, clock: IReactorTime) -> None:
        self._catalog = catalog
        self._reader = reader
        self._overviews = overviews
        self._clock = clock
        self._kept: dict[Scope, tuple[float, Snapshot]] = {}
        self._reading: dict[Scope, DeferredLock] = {}

    async def snapshot(self, scope: Scope, least: Position) -> Snapshot:
        """Counts of the jobs of *scope*; with those of all, the queue, the connected crawlers and the overview, too.

        It is of a position from *least* on. Read once for all that ask meanwhile.
        """
        while True:
            read_at, kept = self._kept.get(scope, (float("-inf"), None))
            if kept is not None and self._clock.seconds() - read_at < FRESH and kept.position >= least:
                return kept
            reading = self._reading.setdefault(scope, DeferredLock())
            await reading.acquire()
            try:
                if self._kept.get(scope, (0.0, None))[1] is kept:  # nobody has read it meanwhile
                    await self._read(scope)
            finally:
                reading.release()
                if not reading.locked:
                    self._reading.pop(scope, None)

    async def _read(self, scope: Scope) -> None:
        # The position first: what is committed between the two is in the snapshot, and sent as well.
        position, now = await self._reader.last() or Position(0), self._clock.seconds()
        data = await self.counts(scope)
        if scope == Scope():
            crawlers = await self._catalog.crawlers.page(Page(MOST_CRAWLERS), {"connected": True})
            data["crawlers"] = list(crawlers.rows)
            data["overview"] = await self.overview()
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[scope] = now, Snapshot(position, data)

    async def counts(self, scope: Scope) -> dict[str, Any]:
        """Counts of the jobs of *scope* by state; with those of all, the queue, too."""
        if scope != Scope():
            stats = await self._catalog.stats_of(scope.account_id, scope.user_id)
            return {"counts": stats["jobs"]}
        stats = await self._catalog.stats()
        self._overviews.counted(stats)
        return {"counts": stats["jobs"], "queue": stats["queue"]}

    async def overview(self) -> dict[str, Any]:
        """What needs a person, and what restricts and serves the jobs."""
        return await self._overviews.read()
