"""How the node is: what health checks and gauges read."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import psycopg2
from twisted.internet.interfaces import IReactorTime

from copilot_socket.store.database import PoolUse
from copilot_socket.store.faults import DatabaseAway

if TYPE_CHECKING:
    from copilot_socket.node import Node


class NodeStatus:
    """Read by ``/health/*`` and by the gauges of ``/metrics``."""

    def __init__(self, node: "Node", reactor: IReactorTime) -> None:
        self._node = node
        self._reactor = reactor
        self._started_at: float | None = None
        self._stopping = False
        self._database_error: str | None = "not asked yet"
        self._latency: float | None = None
        self.on_running: Callable[[], None] = lambda: None

    def started(self) -> None:
        """The node reads from crawlers."""
        self._started_at = self._reactor.seconds()
        self.on_running()

    def stopping(self) -> None:
        """It will soon not."""
        self._stopping = True

    async def check_database(self) -> None:
        """Ask the database for a sign of life."""
        begun = self._reactor.seconds()
        try:
            await self._node.database.query("SELECT 1")
        except (DatabaseAway, psycopg2.Error) as error:
            self._database_error, self._latency = str(error).split("\n", 1)[0], None
            self._node.presence.database_failed()
        else:
            self._database_error, self._latency = None, self._reactor.seconds() - begun

    @property
    def running(self) -> bool:
        """Whether crawlers are served."""
        return self._started_at is not None and not self._stopping

    @property
    def error(self) -> str | None:
        """What is wrong, if anything."""
        if self._stopping:
            return "the node is stopping"
        if self._started_at is None:
            return "the node is starting"
        if self._database_error is not None:
            return f"database: {self._database_error}"
        return self._node.ports.error

    @property
    def summary(self) -> str:
        """How things are, in one line for people."""
        if not self.running:
            return self.error or ""
        present = len(self._node.registry.present())
        database = "answers" if self._database_error is None else f"is away: {self._database_error}"
        return (
            f"crawlers: {present} ({self.standing} waiting for work), connections: {self.connections}; "
            f"the database {database}" + (f"; {self._node.ports.error}" if self._node.ports.error else "")
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
        return self._node.config.max_connections

    @property
    def crawlers(self) -> Mapping[str, int]:
        """How many crawlers are connected here, by kind."""
        present = self._node.registry.present()
        plain = sum(crawler.plain for crawler in present)
        return {"hello": len(present) - plain, "plain": plain}

    @property
    def standing(self) -> int:
        """Crawlers that wait for work."""
        return self._node.dispatcher.standing

    @property
    def queued_writes(self) -> int:
        """Reports that wait for their commit."""
        return self._node.writer.waiting

    @property
    def database_up(self) -> bool:
        """Whether the database answered when it was last asked."""
        return self._database_error is None

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
            "latency_seconds": self._latency,
            "pool": {"size": pool.size, "in_use": pool.in_use, "waiting": pool.waiting},
        }
