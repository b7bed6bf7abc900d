"""The overview: read once for all who ask, over HTTP or by a stream of live events, and kept for a moment."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket import __version__
from copilot_socket.core.attention import NAMES, Item, PausedAll, Some, attention
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.faults import DATABASE_ERRORS
from copilot_socket.store.listing import Page, Record
from copilot_socket.store.overview import DatabaseSize, OverviewReader

FRESH = 1.5
"""Seconds for which an overview serves others."""
STATS_KEPT = 10.0
"""Seconds for which statistics serve it: where nothing happens none are read for others, and they may take long."""
SIZE_EACH = 60.0
"""Seconds for which the size of the database is kept."""
RESTLESS = {"database": ("latency_seconds", "pool"), "nodes": ("lease_expires_at",), "hosts": ("last_success_at",)}
"""What changes all the time, and is no reason to send an overview at once."""


class State(Protocol):
    """What the node knows by itself (:class:`.NodeStatus`)."""

    @property
    def database(self) -> Mapping[str, Any]:
        """The state of the database and of the connection pool."""

    @property
    def error(self) -> str | None:
        """Why the node can't work; None if it can."""


class Overviews:
    """Reads the overview of *node*. *embedded*: it runs its database itself."""

    log = Logger()

    def __init__(
        self,
        catalog: Catalog,
        reader: OverviewReader,
        state: State,
        clock: IReactorTime,
        *,
        node: str,
        embedded: bool,
    ) -> None:
        self._catalog = catalog
        self._reader = reader
        self._state = state
        self._clock = clock
        self._node = node
        self._embedded = embedded
        self._reading = DeferredLock()
        self._kept: tuple[float, Record] | None = None
        self._stats: tuple[float, Record] | None = None
        self._size: DatabaseSize | None = None
        self._size_at = float("-inf")

    def counted(self, stats: Record) -> None:
        """The *stats* of all jobs were just read: they need not be read again."""
        self._stats = self._clock.seconds(), stats

    async def read(self) -> Record:
        """The overview, at most :data:`FRESH` seconds old. Raises the database's errors."""
        await self._reading.acquire()
        try:
            if self._kept is None or self._clock.seconds() - self._kept[0] >= FRESH:
                self._kept = self._clock.seconds(), await self._read()
            return self._kept[1]
        finally:
            self._reading.release()

    async def _read(self) -> Record:
        self._look_at_size()
        facts = await self._reader.facts(await self._recent_stats())
        page = Page()
        nodes = (await self._catalog.crawlers.nodes(page)).rows
        hosts = (await self._catalog.hosts(page)).rows
        # Nothing goes out while everything is paused: that one is not to be missing behind a hundred others.
        everything = (await self._catalog.pause_of_everything()).rows
        pauses = [each for each in (await self._catalog.pauses(page)).rows if each not in everything]
        size = self._size
        facts = attrs.evolve(
            facts,
            gone=_gone(nodes),
            paused=_paused_all(everything),
            error=self._state.error,
            connections=None if size is None else size.connections,
        )
        return {
            "attention": list(map(_shown, attention(facts))),
            "node_id": self._node,
            "version": __version__,
            "nodes": list(nodes),
            "hosts": list(hosts),
            "budgets": await self._reader.budgets(),
            "pauses": [*everything, *pauses][: page.limit],
            "database": {
                **self._state.database,
                "embedded": self._embedded,
                "version": None if size is None else size.version,
                "size_bytes": None if size is None else size.bytes,
            },
        }

    async def _recent_stats(self) -> Record:
        if self._stats is None or self._clock.seconds() - self._stats[0] >= STATS_KEPT:
            self.counted(await self._catalog.stats())
        assert self._stats is not None
        return self._stats[1]

    def _look_at_size(self) -> None:
        """Begin to read the size of the database, which may take seconds, for the overviews after this one."""
        now = self._clock.seconds()
        if now - self._size_at < SIZE_EACH:
            return
        self._size_at = now
        d = Deferred.fromCoroutine(self._reader.size())
        d.addCallbacks(self._measured, self._not_measured)

    def _measured(self, size: DatabaseSize) -> None:
        self._size = size

    def _not_measured(self, failure: Failure) -> None:
        if failure.check(*DATABASE_ERRORS) is None:
            self.log.failure("Reading the size of the database failed", failure)


def _gone(nodes: Sequence[Record]) -> Some:
    """The nodes whose lease has run out, the longest first: those that are stopped end theirs."""
    gone = sorted((node["lease_expires_at"], node["id"]) for node in nodes if not node["live"])
    return Some(len(gone), gone[0][0] if gone else None, [name for _, name in gone[:NAMES]])


def _paused_all(pauses: Sequence[Record]) -> PausedAll | None:
    """The pause of everything among *pauses*, which are of nothing else."""
    return next((PausedAll(p["author"], p["reason"], p["created_at"], p["ends_at"]) for p in pauses), None)


def steady(overview: Mapping[str, Any]) -> Record:
    """*overview* without what changes all the time."""
    return {name: _without(value, RESTLESS.get(name, ())) for name, value in overview.items()}


def _without(value: Any, names: tuple[str, ...]) -> Any:
    if not names:
        return value
    if isinstance(value, list):
        return [_without(each, names) for each in value]
    return {name: each for name, each in value.items() if name not in names}


def _shown(item: Item) -> Record:
    shown = attrs.asdict(item)
    if item.lanes is None:
        del shown["lanes"]
    else:
        for lane in shown["lanes"]:
            del lane["kinds"]
    return shown
