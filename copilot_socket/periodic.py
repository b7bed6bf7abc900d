"""The periodic tasks of a node, with their intervals and time limits."""

from collections.abc import Callable
from typing import Any

import attrs

from copilot_socket.audit import EACH as EACH_REFUSALS
from copilot_socket.audit import MINUTE, Audit
from copilot_socket.config import Config
from copilot_socket.handlers.budgets import EACH, Budgets
from copilot_socket.handlers.bulk import EACH as EACH_SLICES
from copilot_socket.handlers.bulk import BulkRunner
from copilot_socket.handlers.dispatch.dispatcher import Dispatcher
from copilot_socket.handlers.doorkeeper import Doorkeeper
from copilot_socket.handlers.hosts import HostHealth
from copilot_socket.handlers.presence import PresenceKeeper
from copilot_socket.handlers.webhooks import EACH as EACH_MESSAGES
from copilot_socket.handlers.webhooks import WebhookSender
from copilot_socket.http.access import LOOK as LOOK_FOR_TOKENS
from copilot_socket.http.access import Access
from copilot_socket.live_events import EACH as EACH_NUMBERS
from copilot_socket.live_events import LiveEventRecorder
from copilot_socket.metrics import Metrics
from copilot_socket.ports import LOOK, Ports
from copilot_socket.recorder import EACH as EACH_MINUTES
from copilot_socket.recorder import Recorder
from copilot_socket.status import CHECK, RENEWAL, NodeStatus
from copilot_socket.store.cleanup import Cleanup
from copilot_socket.store.counters import Counters
from copilot_socket.store.database import Database
from copilot_socket.store.leases import Leases
from copilot_socket.store.probe import PATIENCE
from copilot_socket.timers import Task
from copilot_socket.wire.factory import CrawlerFactory

GAUGES = "gauges"
"""The name of the task that reads the gauges from the database."""
LIVE_EVENTS = "live events"
"""The name of the task that stores and numbers these."""
WEBHOOKS = "webhooks"
"""The name of the task that sends them."""
POLL = 1.0
"""Seconds between checks for due jobs."""
HOSTS = 1.0
"""Seconds between writes of when jobs of each GitLab last succeeded, and reads of the hosts that are held back."""
PAUSES = 1.0
"""Seconds between searches for jobs that are to be paused and were not given back in time, and for jobs under paused
paths that are to be marked."""
FOLDING = 1.0
"""Seconds between two rounds of folding what has changed into the counters of jobs."""
CHECKS = 600.0
"""Seconds between looks whether the counters are to be compared with the jobs, which is done once a day."""
LANES = 30.0
"""Seconds between reads of all lanes, for jobs without a notification."""
CHECK_LIMIT = PATIENCE + 2.0
"""Seconds after which a check of the database is overdue."""
SILENCE_CHECKS = 30
"""Checks for silent crawlers per heartbeat time-out."""
SHORTEST_SILENCE, SHORTEST_TIME_OUTS = 0.01, 0.1
"""The shortest intervals, in seconds, between checks for silence, and for time-outs, which query the database."""


@attrs.frozen
class Workers:
    """The parts of a node with periodic tasks. *poll* checks for due jobs."""

    factory: CrawlerFactory
    ports: Ports
    presence: PresenceKeeper
    doorkeeper: Doorkeeper
    dispatcher: Dispatcher
    leases: Leases
    hosts: HostHealth
    budgets: Budgets
    bulk: BulkRunner
    access: Access
    cleanup: Cleanup
    counters: Counters
    recorder: Recorder
    live_events: LiveEventRecorder
    webhooks: WebhookSender
    audit: Audit
    database: Database
    status: NodeStatus
    metrics: Metrics
    poll: Callable[[], Any]


def silence_interval(config: Config) -> float:
    """Seconds between checks for silent crawlers."""
    return max(SHORTEST_SILENCE, min(1.0, config.heartbeat_timeout / SILENCE_CHECKS))


def periodic_tasks(config: Config, workers: Workers) -> list[Task]:
    """Every periodic task of a node."""
    presence, factory = workers.presence, workers.factory
    silence = silence_interval(config)
    lease_round = config.lease / 3
    limit = 2 * config.transaction_timeout  # for a few transactions, each with its own time-out
    time_outs = max(SHORTEST_TIME_OUTS, min(60.0, config.job_timeout / 10, config.reconnect_grace))
    tasks = [
        Task("silence", silence, presence.look_for_silence),
        Task("stalled connections", silence, factory.cut_off_stalled),
        Task("sockets and certificates", LOOK, workers.ports.look),
        Task(RENEWAL, lease_round, presence.renew, retry=1.0, limit=config.lease),
        Task("owners of crawlerIds", lease_round, workers.doorkeeper.close_lost, limit=limit),
        Task("release of expired leases", min(5.0, lease_round), presence.release_lost, limit=limit),
        Task("job time-outs", time_outs, presence.time_out, limit=limit),
        Task("pauses", PAUSES, presence.fence_pauses, limit=limit),
        Task("marks of paused paths", PAUSES, workers.dispatcher.restrictions.mark_slices, limit=limit),
        Task("poll", POLL, workers.poll, limit=limit),
        Task("lanes", LANES, workers.dispatcher.read_lanes, limit=limit),
        Task("lost requests and claims", lease_round, workers.dispatcher.look_after, limit=limit),
        Task("successes of hosts", HOSTS, workers.hosts.store, limit=limit),
        Task("budgets", EACH, workers.budgets.store, limit=limit),
        Task("bulk operations", EACH_SLICES, workers.bulk.run, limit=limit),
        Task("held hosts", HOSTS, workers.dispatcher.holds.look, limit=limit),
        Task("tokens of the HTTP API", LOOK_FOR_TOKENS, workers.access.look, limit=limit),
        Task("dead nodes", config.lease, workers.leases.forget_dead),
        Task("refusals", EACH_REFUSALS, workers.audit.store, limit=limit),
        Task("sums of the audit log", MINUTE, workers.audit.sum_up, limit=limit),
        Task("counters", FOLDING, workers.counters.fold, limit=limit),
        Task("check of the counters", CHECKS, workers.counters.check_daily),
        Task(LIVE_EVENTS, EACH_NUMBERS, workers.live_events.run, limit=limit),
        Task(WEBHOOKS, EACH_MESSAGES, workers.webhooks.run, limit=limit),
        Task("history", EACH_MINUTES, workers.recorder.store, limit=limit),
        Task("cleanup", config.cleanup_interval, workers.cleanup.run),
        Task(CHECK, 1.0, workers.status.check_database, limit=CHECK_LIMIT),
    ]
    if config.enable_metrics:
        metrics, database = workers.metrics, workers.database
        tasks.append(Task(GAUGES, config.metrics_interval, lambda: metrics.refresh(database)))
    return tasks
