"""The state of the node, for health checks and gauges."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime

from copilot_socket.config import Config
from copilot_socket.core.pauses import Scope
from copilot_socket.core.readiness import Unready
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
"""Names of the periodic tasks that decide whether the node is ready."""
WRITER_PATIENCE = 2.0
"""Seconds for which the writer may be without a connection, in which it reconnects."""


class Parts(Protocol):
    """The parts of a node whose state is read here."""

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
    """The state that ``/health/*`` and the gauges of ``/metrics`` show."""

    def __init__(self, node: Parts, probe: Probe, reactor: IReactorTime) -> None:
        self._node = node
        self._probe = probe
        self._reactor = reactor
        self._started_at: float | None = None
        self._stopping = False
        self._pool_waits_since: float | None = None

    def started(self) -> None:
        """The node has started to read from crawlers."""
        self._started_at = self._reactor.seconds()

    def stopping(self) -> None:
        """The node has begun to stop."""
        self._stopping = True

    async def check_database(self) -> None:
        """Check whether the node can work with its database. Call this every second."""
        now = self._reactor.seconds()
        if not self.pool.waiting:
            self._pool_waits_since = None
        elif self._pool_waits_since is None:
            self._pool_waits_since = now
        await self._probe.look()
        if self._probe.cause not in (None, Unready.SECRET_KEY):
            self._node.presence.database_failed()

    @property
    def running(self) -> bool:
        """Whether crawlers are served."""
        return self._started_at is not None and not self._stopping

    @property
    def cause(self) -> Unready | None:
        """Why the node is not ready although it runs; None if it is."""
        if self._probe.cause is not None:
            return self._probe.cause
        now, timers = self._reactor.seconds(), self._node.timers
        away_since = self._node.writer.away_since
        if away_since is not None and now - away_since > WRITER_PATIENCE:
            return Unready.WRITES
        if timers.failing(RENEWAL):
            return Unready.LEASE
        if any(timers.overdue):
            return Unready.STUCK
        waits_since = self._pool_waits_since
        if waits_since is not None and now - waits_since > self._node.config.query_timeout:
            return Unready.POOL
        return None if self._node.ports.reachable else Unready.SOCKET

    @property
    def error(self) -> str | None:
        """Why the node is not ready, in a public sentence; None if it is."""
        if self._stopping:
            return "the node is stopping"
        cause = self.cause
        if self._started_at is None:
            return "the node is starting" + ("" if cause is None else f": {cause.sentence}")
        return None if cause is None else cause.sentence

    @property
    def summary(self) -> str:
        """The state in one line for people."""
        if not self.running:
            return self.error or ""
        present = len(self._node.registry.present())
        return (
            f"crawlers: {present} ({self.pending_requests} waiting for work), connections: {self.connections}; "
            f"{self.error or 'the database answers'}"
        )

    @property
    def uptime(self) -> float:
        """Seconds since the node started to read from crawlers."""
        return 0.0 if self._started_at is None else self._reactor.seconds() - self._started_at

    @property
    def http_port(self) -> int:
        """The number of the HTTP port."""
        return self._node.ports.http_port

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._node.factory.connections)

    @property
    def active_connections(self) -> int:
        """Connections on which a valid message has arrived."""
        return self._node.factory.active

    @property
    def max_connections(self) -> int:
        """The most connections accepted."""
        return self._node.shares.crawlers

    @property
    def crawlers(self) -> Mapping[str, int]:
        """How many crawlers are connected to this node, by kind: ``hello`` or ``plain``."""
        present = self._node.registry.present()
        plain = sum(crawler.plain for crawler in present)
        return {"hello": len(present) - plain, "plain": plain}

    @property
    def pending_requests(self) -> int:
        """Pending requests of crawlers."""
        return self._node.dispatcher.pending_requests

    @property
    def hosts_held(self) -> int:
        """GitLab hosts that are held back."""
        return len(self._node.dispatcher.holds.held)

    @property
    def pauses(self) -> Mapping[str, int]:
        """Pauses in force, by scope."""
        counts = Counter(str(pause.scope) for pause in self._node.dispatcher.restrictions.pauses)
        return {str(scope): counts[str(scope)] for scope in Scope}

    @property
    def queued_writes(self) -> int:
        """Reports waiting to be committed."""
        return self._node.writer.waiting

    @property
    def database_up(self) -> bool:
        """Whether the last check of the database was answered."""
        return self._probe.answers

    @property
    def event_streams(self) -> int:
        """Open streams of live events."""
        return self._node.feed.streams

    @property
    def pool(self) -> PoolUse:
        """Use of the connection pool."""
        return self._node.database.use

    @property
    def database(self) -> dict[str, Any]:
        """The state of the database, as in ``/health``."""
        pool = self.pool
        return {
            "connected": self.database_up,
            "latency_seconds": self._probe.latency,
            "pool": {"size": pool.size, "in_use": pool.in_use, "waiting": pool.waiting},
        }
