"""The periodic tasks of a node: what is done, how often, and how long a round may take."""

from collections.abc import Callable
from typing import Any

import attrs

from copilot_socket.config import Config
from copilot_socket.handlers.dispatch.dispatcher import Dispatcher
from copilot_socket.handlers.presence import PresenceKeeper
from copilot_socket.metrics import Metrics
from copilot_socket.ports import LOOK, Ports
from copilot_socket.status import CHECK, RENEWAL, NodeStatus
from copilot_socket.store.cleanup import Cleanup
from copilot_socket.store.database import Database
from copilot_socket.store.leases import Leases
from copilot_socket.store.probe import PATIENCE
from copilot_socket.timers import Task
from copilot_socket.wire.factory import CrawlerFactory

GAUGES = "gauges"
"""The name of the task that counts for the metrics."""
POLL = 1.0
"""Seconds between looks for jobs that fall due."""
LANES = 30.0
"""Seconds between looks for work that no notification told of."""
CHECK_LIMIT = PATIENCE + 2.0
"""Seconds that a check of the database takes at the most."""
SILENCE_CHECKS = 30
"""How often within a heartbeat time-out silence is looked for."""
TICK, LOOKS = 0.01, 0.1
"""The shortest seconds between looks for silence, and between looks for time-outs, which ask the database."""


@attrs.frozen
class Workers:
    """The parts of a node that have something to do from time to time. *poll* looks for work."""

    factory: CrawlerFactory
    ports: Ports
    presence: PresenceKeeper
    dispatcher: Dispatcher
    leases: Leases
    cleanup: Cleanup
    database: Database
    status: NodeStatus
    metrics: Metrics
    poll: Callable[[], Any]


def silence_interval(config: Config) -> float:
    """Seconds between looks for silent crawlers."""
    return max(TICK, min(1.0, config.heartbeat_timeout / SILENCE_CHECKS))


def periodic_tasks(config: Config, workers: Workers) -> list[Task]:
    """Every periodic task of a node."""
    presence, factory = workers.presence, workers.factory
    silence = silence_interval(config)
    lease_round = config.lease / 3
    limit = 2 * config.transaction_timeout  # for a few statements, each of which ends within its own
    time_outs = max(LOOKS, min(60.0, config.job_timeout / 10, config.reconnect_grace))
    tasks = [
        Task("silence", silence, presence.look_for_silence),
        Task("stalled connections", silence, factory.cut_off_stalled),
        Task("the crawlers' socket", LOOK, workers.ports.look),
        Task(RENEWAL, lease_round, presence.renew, retry=1.0, limit=config.lease),
        Task("release of expired leases", min(5.0, lease_round), presence.release_lost, limit=limit),
        Task("job time-outs", time_outs, presence.time_out, limit=limit),
        Task("poll", POLL, workers.poll, limit=limit),
        Task("lanes", LANES, workers.dispatcher.read_lanes, limit=limit),
        Task("lost requests and claims", lease_round, workers.dispatcher.look_after, limit=limit),
        Task("dead nodes", config.lease, workers.leases.forget_dead),
        Task("cleanup", config.cleanup_interval, workers.cleanup.run),
        Task(CHECK, 1.0, workers.status.check_database, limit=CHECK_LIMIT),
    ]
    if config.enable_metrics:
        metrics, database = workers.metrics, workers.database
        tasks.append(Task(GAUGES, config.metrics_interval, lambda: metrics.refresh_in_time(database)))
    return tasks
