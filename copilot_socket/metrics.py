"""Every metric, on a registry that is passed in, fed by what is told (:mod:`copilot_socket.telling`)."""

from collections.abc import Callable
from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from copilot_socket import telling
from copilot_socket.core.jobs import Status
from copilot_socket.store.database import Database, PoolUse
from copilot_socket.store.sql import ROUTES, sql
from copilot_socket.tallies import Durations, Tally

_FAST = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_DISPATCH = (*_FAST, 30, 60, 300, 1800)


class Live(Protocol):
    """What is read at the moment of a scrape."""

    @property
    def connections(self) -> int:
        """Open connections."""

    @property
    def standing(self) -> int:
        """Crawlers that wait for work."""

    @property
    def queued_writes(self) -> int:
        """Reports that wait for their commit."""

    @property
    def event_streams(self) -> int:
        """Open streams of live events."""

    @property
    def pool(self) -> PoolUse:
        """How the pool is used."""


class Metrics:
    """Counts what is told; :meth:`refresh` reads the database's side."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._connections = Tally("socket_connections", "Connections taken", [], registry)
        self._messages = Tally("socket_messages_processed", "Messages dealt with", ["type", "outcome"], registry)
        self._errors = Tally("socket_errors", "Error replies, by code", ["code"], registry)
        self._seconds = Durations(
            "socket_processing_duration_seconds", "From reading a message to its answer", ["type"], _FAST, registry
        )
        self._dispatch = Durations(
            "copilot_dispatch_seconds", "From a job's being due to its being sent", [], _DISPATCH, registry
        )
        self._changes = Tally("copilot_job_changes", "Changes of a job's state", ["status", "event"], registry)
        self._tries = Tally("copilot_tries", "Tries that ended", ["outcome"], registry)
        self._tokens = Tally("copilot_token_refreshes", "Token refreshes", ["outcome"], registry)
        self._jobs = Gauge("copilot_jobs", "Jobs by status", ["status"], registry=registry)
        self._oldest = Gauge(
            "copilot_queue_oldest_seconds", "How long the oldest claimable job has been due", registry=registry
        )
        self._unroutable = Gauge(
            "copilot_jobs_unroutable", "Claimable jobs that no connected crawler takes", registry=registry
        )
        self._listeners: dict[type, Callable[[telling.News], None]] = {
            telling.JobChanged: self._job,
            telling.JobSent: self._sent,
            telling.ConnectionChanged: self._connection,
            telling.MessagesHandled: self._message,
            telling.TokenRefreshed: self._token,
        }

    def __call__(self, news: telling.News) -> None:
        """Count *news*."""
        listener = self._listeners.get(type(news))
        if listener is not None:
            listener(news)

    def watch(self, live: Live) -> None:
        """Show the gauges of *live* at each scrape."""
        self.registry.register(_LiveCollector(live))

    async def refresh(self, database: Database) -> None:
        """Read the gauges that the database holds."""
        rows = await database.query(sql("count_jobs"))
        counts: dict[str, int] = {status: count for status, count in rows}  # noqa: C416 - typed
        for status in Status:
            self._jobs.labels(status).set(counts.get(status, 0))
        [(oldest,)] = await database.query(sql("queue_age"))
        self._oldest.set(oldest)
        [(unroutable,)] = await database.query(sql("unroutable"), ROUTES)
        self._unroutable.set(unroutable)

    def _job(self, news: telling.News) -> None:
        assert isinstance(news, telling.JobChanged)
        self._changes.add(news.status, news.event)
        if news.outcome is not None:
            self._tries.add(news.outcome)

    def _sent(self, news: telling.News) -> None:
        assert isinstance(news, telling.JobSent)
        if news.waited is not None:
            self._dispatch.add(news.waited)

    def _connection(self, news: telling.News) -> None:
        assert isinstance(news, telling.ConnectionChanged)
        if news.event == "opened":
            self._connections.add()

    def _message(self, news: telling.News) -> None:
        assert isinstance(news, telling.MessagesHandled)
        self._messages.add(news.type, news.outcome, count=news.count)
        self._seconds.add(news.seconds, news.type, count=news.count)
        if news.outcome != "ok":
            self._errors.add(news.outcome, count=news.count)

    def _token(self, news: telling.News) -> None:
        assert isinstance(news, telling.TokenRefreshed)
        self._tokens.add(news.outcome)


class _LiveCollector(Collector):
    def __init__(self, live: Live) -> None:
        self._live = live

    def collect(self) -> list[Metric]:
        live, pool = self._live, self._live.pool
        return [
            GaugeMetricFamily("socket_connections_active", "Open connections", value=live.connections),
            GaugeMetricFamily("copilot_crawlers_standing", "Crawlers that wait for work", value=live.standing),
            GaugeMetricFamily(
                "copilot_writes_queued", "Reports that wait for their commit", value=live.queued_writes
            ),
            GaugeMetricFamily("copilot_event_streams", "Open streams of live events", value=live.event_streams),
            GaugeMetricFamily("copilot_database_pool_size", "Connections that the pool may have", value=pool.size),
            GaugeMetricFamily("copilot_database_pool_in_use", "Connections of the pool in use", value=pool.in_use),
            GaugeMetricFamily("copilot_database_pool_waiting", "Requests that wait for one", value=pool.waiting),
        ]
