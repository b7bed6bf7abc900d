"""How the node is: what health checks and gauges read."""

from collections.abc import Mapping
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime

from copilot_socket.config import Config
from copilot_socket.core.causes import Cause
from copilot_socket.descriptors import Shares
from copilot_socket.handlers.crawlers import Registry
from copilot_socket.handlers.dispatch.dispatcher import Dispatcher
from copilot_socket.handlers.presence import PresenceKeeper
from copilot_socket.http.feed import Feed
from copilot_socket.ports import Ports
from copilot_socket.store.database import Database, PoolUse
from copilot_socket.store.probe import Probe
from copilot_socket.store.writer import Writer
from copilot_socket.timers import Timers
from copilot_socket.wire.factory import CrawlerFactory

CHECK, RENEWAL = "database check", "lease renewal"
"""Names of periodic tasks without which a node can't do its work."""
WRITER_PATIENCE = 2.0
"""Seconds for which the writer may be without its connection: it makes a new one by itself."""


class Parts(Protocol):
    """The parts of a node whose state is read."""

    config: Config
    database: Database
    dispatcher: Dispatcher
    factory: CrawlerFactory
    feed: Feed
    ports: Ports
    presence: PresenceKeeper
    registry: Registry
    shares: Shares
    timers: Timers
    writer: Writer


class NodeStatus:
    """Read by ``/health/*`` and by the gauges of ``/metrics``."""

    def __init__(self, node: Parts, probe: Probe, reactor: IReactorTime) -> None:
        self._node = node
        self._probe = probe
        self._reactor = reactor
        self._started_at: float | None = None
        self._stopping = False
        self._pool_waits_since: float | None = None

    def started(self) -> None:
        """The node reads from crawlers."""
        self._started_at = self._reactor.seconds()

    def stopping(self) -> None:
        """It will soon not."""
        self._stopping = True

    async def check_database(self) -> None:
        """Find out whether the node can work with its database; to be called every second."""
        now = self._reactor.seconds()
        if not self.pool.waiting:
            self._pool_waits_since = None
        elif self._pool_waits_since is None:
            self._pool_waits_since = now
        await self._probe.look()
        if self._probe.cause not in (None, Cause.SECRET_KEY):
            self._node.presence.database_failed()

    @property
    def running(self) -> bool:
        """Whether crawlers are served."""
        return self._started_at is not None and not self._stopping

    @property
    def cause(self) -> Cause | None:
        """Why the node can't do its work although it runs; None if it can."""
        if self._probe.cause is not None:
            return self._probe.cause
        now, timers = self._reactor.seconds(), self._node.timers
        away_since = self._node.writer.away_since
        if away_since is not None and now - away_since > WRITER_PATIENCE:
            return Cause.WRITES
        if timers.failing(RENEWAL):
            return Cause.LEASE
        if any(timers.overdue):
            return Cause.STUCK
        waits_since = self._pool_waits_since
        if waits_since is not None and now - waits_since > self._node.config.query_timeout:
            return Cause.POOL
        return None if self._node.ports.reachable else Cause.SOCKET

    @property
    def error(self) -> str | None:
        """What is wrong, if anything, for everyone to read."""
        if self._stopping:
            return "the node is stopping"
        cause = self.cause
        if self._started_at is None:
            return "the node is starting" + ("" if cause is None else f": {cause.sentence}")
        return None if cause is None else cause.sentence

    @property
    def summary(self) -> str:
        """How things are, in one line for people."""
        if not self.running:
            return self.error or ""
        present = len(self._node.registry.present())
        return (
            f"crawlers: {present} ({self.pending_requests} waiting for work), connections: {self.connections}; "
            f"{self.error or 'the database answers'}"
        )

    @property
    def uptime(self) -> float:
        """Seconds since crawlers are served."""
        return 0.0 if self._started_at is None else self._reactor.seconds() - self._started_at

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._node.factory.connections)

    @property
    def active_connections(self) -> int:
        """Those over which a valid message has come."""
        return self._node.factory.active

    @property
    def max_connections(self) -> int:
        """As many as there may be."""
        return self._node.shares.crawlers

    @property
    def crawlers(self) -> Mapping[str, int]:
        """How many crawlers are connected here, by kind."""
        present = self._node.registry.present()
        plain = sum(crawler.plain for crawler in present)
        return {"hello": len(present) - plain, "plain": plain}

    @property
    def pending_requests(self) -> int:
        """Crawlers that wait for work."""
        return self._node.dispatcher.pending_requests

    @property
    def queued_writes(self) -> int:
        """Reports that wait for their commit."""
        return self._node.writer.waiting

    @property
    def database_up(self) -> bool:
        """Whether the database answered when it was last asked."""
        return self._probe.answers

    @property
    def event_streams(self) -> int:
        """Open streams of live events."""
        return self._node.feed.streams

    @property
    def pool(self) -> PoolUse:
        """How the pool is used."""
        return self._node.database.use

    @property
    def database(self) -> dict[str, Any]:
        """What is known of the database."""
        pool = self.pool
        return {
            "connected": self.database_up,
            "latency_seconds": self._probe.latency,
            "pool": {"size": pool.size, "in_use": pool.in_use, "waiting": pool.waiting},
        }
