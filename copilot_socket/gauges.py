"""Gauges read at each scrape: the state of the node, its process, and the version."""

import platform
from collections.abc import Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from copilot_socket import __version__
from copilot_socket.core.readiness import Unready
from copilot_socket.store.database import PoolUse


class Live(Protocol):
    """The node's state, as gauges show it."""

    @property
    def running(self) -> bool:
        """Whether crawlers are served."""

    @property
    def connections(self) -> int:
        """Open connections."""

    @property
    def max_connections(self) -> int:
        """The most connections accepted."""

    @property
    def crawlers(self) -> Mapping[str, int]:
        """How many crawlers are connected, by kind: ``hello`` or ``plain``."""

    @property
    def pending_requests(self) -> int:
        """Pending requests of crawlers."""

    @property
    def hosts_held(self) -> int:
        """GitLab hosts that are held back."""

    @property
    def pauses(self) -> Mapping[str, int]:
        """How many pauses are in force, by scope."""

    @property
    def queued_writes(self) -> int:
        """Reports waiting to be committed."""

    @property
    def event_streams(self) -> int:
        """Open streams of live events."""

    @property
    def database_up(self) -> bool:
        """Whether the last check of the database was answered."""

    @property
    def cause(self) -> Unready | None:
        """Why the node is not ready; None if it is."""

    @property
    def pool(self) -> PoolUse:
        """Use of the connection pool."""


def register(live: Live, registry: CollectorRegistry) -> None:
    """Register collectors for *live*, this process and this version with *registry*."""
    registry.register(_LiveCollector(live))
    registry.register(_BuildCollector())
    ProcessCollector(registry=registry)


class _LiveCollector(Collector):
    def __init__(self, live: Live) -> None:
        self._live = live

    def collect(self) -> Iterator[Metric]:
        live, pool = self._live, self._live.pool
        yield GaugeMetricFamily("copilot_node_running", "Whether crawlers are served", value=live.running)
        yield GaugeMetricFamily("socket_connections_active", "Open connections", value=live.connections)
        yield GaugeMetricFamily("socket_connections_limit", "Most connections accepted", value=live.max_connections)
        crawlers = GaugeMetricFamily("copilot_crawlers_connected", "Connected crawlers", labels=["kind"])
        for kind, number in live.crawlers.items():
            crawlers.add_metric([kind], number)
        yield crawlers
        yield GaugeMetricFamily("copilot_hosts_held", "GitLab hosts that are held back", value=live.hosts_held)
        pauses = GaugeMetricFamily("copilot_pauses", "Pauses in force", labels=["scope"])
        for scope, number in live.pauses.items():
            pauses.add_metric([scope], number)
        yield pauses
        yield GaugeMetricFamily(
            "copilot_crawlers_standing", "Pending requests of crawlers", value=live.pending_requests
        )
        yield GaugeMetricFamily("copilot_writes_queued", "Reports waiting to be committed", value=live.queued_writes)
        yield GaugeMetricFamily("copilot_event_streams", "Open streams of live events", value=live.event_streams)
        yield GaugeMetricFamily("copilot_database_up", "Whether the database answers", value=live.database_up)
        unready = GaugeMetricFamily(
            "copilot_node_unready", "Whether this is why the node is not ready", labels=["cause"]
        )
        why = live.cause
        for cause in Unready:
            unready.add_metric([cause.label], cause is why)
        yield unready
        yield GaugeMetricFamily("copilot_database_pool_size", "Size of the connection pool", value=pool.size)
        yield GaugeMetricFamily("copilot_database_pool_in_use", "Connections of the pool in use", value=pool.in_use)
        yield GaugeMetricFamily(
            "copilot_database_pool_waiting", "Requests waiting for a connection of the pool", value=pool.waiting
        )


class _BuildCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        versions = {"version": __version__, "python": platform.python_version()}
        yield InfoMetricFamily("copilot_build", "Version of copilot-socket and Python", value=versions)
