"""What subscribes to a node's state events to show them: metrics, log, live events."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry

from copilot_socket import gauges
from copilot_socket.config import Config
from copilot_socket.event_bus import EventBus
from copilot_socket.http.feed import Feed
from copilot_socket.logs import EventLog, Levels
from copilot_socket.metrics import Metrics
from copilot_socket.status import NodeStatus


class Observers:
    """Those of the node *node_id*. *name_of* turns a crawler's identity into its name."""

    def __init__(
        self,
        config: Config,
        bus: EventBus,
        status: NodeStatus,
        node_id: str,
        name_of: Callable[[str], str],
        reactor: Any,
    ) -> None:
        self.metrics = Metrics(CollectorRegistry())
        gauges.register(status, self.metrics.registry)
        bus.subscribe_by_type(self.metrics.subscriptions)
        self.event_log = EventLog(Levels(config.log_level, config.debug), name_of, reactor)
        bus.subscribe_by_type(self.event_log.subscriptions)
        self.feed = Feed(bus, reactor, node_id, name_of)
