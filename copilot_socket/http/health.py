"""Health and metrics."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Protocol

import attrs
from msgspec import UNSET, UnsetType
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from copilot_socket.core.describing import Time, doc
from copilot_socket.http.endpoints import Content, endpoint
from copilot_socket.http.messages import Call, Problem, Reply, reply


class Health(Protocol):
    """State of the node. ``error`` and ``database`` are shown: they must not contain secrets."""

    @property
    def running(self) -> bool:
        """Whether the node listens for crawlers."""

    @property
    def connections(self) -> int:
        """Number of open connections."""

    @property
    def active_connections(self) -> int:
        """Number of connections that have sent a valid message."""

    @property
    def http_port(self) -> int:
        """The number of the HTTP port."""

    @property
    def uptime(self) -> float:
        """Seconds since the start."""

    @property
    def database(self) -> Mapping[str, Any]:
        """State of the database and of the connection pool."""

    @property
    def error(self) -> str | None:
        """Why the node can't work; None if it can."""


@attrs.frozen(kw_only=True)
class SocketServer:
    """The node as crawlers see it."""

    running: Annotated[bool, doc("Whether it listens for them.")]
    connections: Annotated[int, doc("Open connections of all endpoints, without remote ones not admitted yet.")]
    active_connections: Annotated[int, doc("Those over which a valid message has arrived.")]
    uptime: Annotated[float, doc("Seconds since the start.")]


@attrs.frozen(kw_only=True)
class SocketHealth:
    """The state of the node. Without access, or with limited access, only the status."""

    status: Annotated[Literal["healthy", "unhealthy"], doc("Whether it can do its work.")]
    error: Annotated[str | UnsetType, doc("Why it can't.")] = UNSET
    socket_server: SocketServer | UnsetType = UNSET
    database: Annotated[dict[str, Any] | UnsetType, doc("The database, and the pool of connections to it.")] = UNSET
    timestamp: Annotated[Time | UnsetType, doc("When this was.")] = UNSET


@attrs.frozen(kw_only=True)
class Live:
    """The process responds."""

    status: Annotated[Literal["live"], doc("Always the same.")]
    http_port: Annotated[int | UnsetType, doc("The number of its HTTP port; only with full access.")] = UNSET


@attrs.frozen(kw_only=True)
class Ready:
    """Whether crawlers and requests can be served now."""

    status: Annotated[Literal["ready", "not ready"], doc("Whether they can.")]
    error: Annotated[str | UnsetType, doc("Why not; only with full access.")] = UNSET


@attrs.frozen
class HealthHandlers:
    """Handles ``/health`` and ``/metrics``. *registry* None: metrics are disabled.

    *time_of_day* returns seconds since 1970.
    """

    health: Health
    registry: CollectorRegistry | None
    time_of_day: Callable[[], float]

    @endpoint({200: SocketHealth, 503: SocketHealth}, strict=False)
    async def socket_health(self, call: Call) -> Reply:
        """The state of the node, with all details for those who have access: 200, or 503 while it can't work."""
        healthy = self._healthy()
        if not _details(call):
            return reply({"status": "healthy" if healthy else "unhealthy"}, 200 if healthy else 503)
        return reply(
            {
                "status": "healthy" if healthy else "unhealthy",
                **({} if healthy else {"error": self._error()}),
                "socket_server": {
                    "running": self.health.running,
                    "connections": self.health.connections,
                    "active_connections": self.health.active_connections,
                    "uptime": self.health.uptime,
                },
                "database": self.health.database,
                "timestamp": datetime.fromtimestamp(self.time_of_day(), UTC),
            },
            200 if healthy else 503,
        )

    @endpoint({200: Live}, strict=False)
    async def live(self, call: Call) -> Reply:
        """Always 200: the process responds; for those who have access, with the number of its HTTP port."""
        return reply(
            {"status": "live"} if not _details(call) else {"status": "live", "http_port": self.health.http_port}
        )

    @endpoint({200: Ready, 503: Ready}, strict=False)
    async def ready(self, call: Call) -> Reply:
        """200 if crawlers and requests can be served now, else 503, and for those who have access, why."""
        if self._healthy():
            return reply({"status": "ready"})
        why = {"error": self._error()} if _details(call) else {}
        return reply({"status": "not ready", **why}, 503)

    @endpoint({200: Content("text/plain", "Metrics.")}, problems=(404,), strict=False)
    async def metrics(self, _call: Call) -> Reply:
        """Metrics in the Prometheus text format."""
        if self.registry is None:
            raise Problem(404, "Metrics are disabled (SOCKET_ENABLE_METRICS)")
        return Reply(200, generate_latest(self.registry), CONTENT_TYPE_LATEST.encode())

    def _healthy(self) -> bool:
        return self.health.running and self.health.error is None

    def _error(self) -> str:
        return self.health.error or "not listening for crawlers"


def _details(call: Call) -> bool:
    """Whether the caller may see more than the state: neither a stranger nor a limited token may."""
    return call.grant is not None and call.within is None
