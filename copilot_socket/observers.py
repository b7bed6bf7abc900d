"""What shows a node's state events to people and programs: metrics, log, live events, history, the audit log."""

from typing import Any

import attrs
from prometheus_client import CollectorRegistry

from copilot_socket import gauges
from copilot_socket.audit import Audit
from copilot_socket.config import Config
from copilot_socket.descriptors import Shares
from copilot_socket.event_bus import EventBus
from copilot_socket.handlers.crawlers import Registry
from copilot_socket.http.feed import Feed
from copilot_socket.http.overview import Overviews
from copilot_socket.http.snapshots import Snapshots
from copilot_socket.live_events import LiveEventRecorder
from copilot_socket.logs import EventLog, Levels
from copilot_socket.metrics import Metrics
from copilot_socket.recorder import Recorder
from copilot_socket.status import NodeStatus
from copilot_socket.store.audit import AuditLog
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.database import Database
from copilot_socket.store.history import History
from copilot_socket.store.live_events import LiveEventReader, Numbering
from copilot_socket.store.overview import OverviewReader


@attrs.frozen
class Observers:
    """The subscribers to the event bus that report what happens."""

    metrics: Metrics
    event_log: EventLog
    feed: Feed
    overviews: Overviews
    live_events: LiveEventRecorder
    audit: Audit
    recorder: Recorder


def observers(
    config: Config,
    node: str,
    bus: EventBus,
    status: NodeStatus,
    registry: Registry,
    database: Database,
    numbering: Numbering,
    shares: Shares,
    reactor: Any,
) -> Observers:
    """Make them, and subscribe them to *bus*."""
    reader, catalog = LiveEventReader(database), Catalog(database)
    overviews = Overviews(
        catalog, OverviewReader(database), status, reactor, node=node, embedded=config.database_url is None
    )
    made = Observers(
        Metrics(CollectorRegistry()),
        EventLog(Levels(config.log_level, config.debug), reactor),
        Feed(reader, Snapshots(catalog, reader, overviews, reactor), reactor),
        overviews,
        LiveEventRecorder(numbering, reactor),
        Audit(AuditLog(database), reactor),
        Recorder(History(database), node, lambda: len(registry.present()), reactor),
    )
    gauges.register(status, made.metrics.registry)
    for each in (made.metrics, made.event_log, made.live_events, made.audit, made.recorder):
        bus.subscribe_by_type(each.subscriptions)
    made.feed.max_streams = min(made.feed.max_streams, shares.http // 2)  # leave connections for requests
    return made
