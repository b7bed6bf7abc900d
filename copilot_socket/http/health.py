"""Health and metrics."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import attrs
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from copilot_socket.http.messages import Call, Problem, Reply, reply


class Health(Protocol):
    """How the node is. ``error`` says why it is unhealthy; everyone may read it, as well as ``database``."""

    @property
    def running(self) -> bool:
        """Whether crawlers are being listened to."""

    @property
    def connections(self) -> int:
        """How many connections are open."""

    @property
    def active_connections(self) -> int:
        """How many of them have sent a valid message."""

    @property
    def uptime(self) -> float:
        """Seconds since the start."""

    @property
    def database(self) -> Mapping[str, Any]:
        """What is known of the database and the pool."""

    @property
    def error(self) -> str | None:
        """Why the node can't do its work, None if it can."""


@attrs.frozen
class HealthHandlers:
    """Answers under ``/health`` and ``/metrics``. Without a *registry* there are no metrics.

    *time_of_day* tells the time of day, in seconds since 1970.
    """

    health: Health
    registry: CollectorRegistry | None
    time_of_day: Callable[[], float]

    async def socket(self, _call: Call) -> Reply:
        """The state of the node, in full: 200, or 503 while it can't do its work."""
        healthy = self._healthy()
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

    async def live(self, _call: Call) -> Reply:
        """That the process answers at all."""
        return reply({"status": "live"})

    async def ready(self, _call: Call) -> Reply:
        """Whether crawlers and requests will be served now."""
        if self._healthy():
            return reply({"status": "ready"})
        return reply({"status": "not ready", "error": self._error()}, 503)

    async def metrics(self, _call: Call) -> Reply:
        """Prometheus' text format."""
        if self.registry is None:
            raise Problem(404, "Metrics are disabled (SOCKET_ENABLE_METRICS)")
        return Reply(200, generate_latest(self.registry), CONTENT_TYPE_LATEST.encode())

    def _healthy(self) -> bool:
        return self.health.running and self.health.error is None

    def _error(self) -> str:
        return self.health.error or "not listening for crawlers"
