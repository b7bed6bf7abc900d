"""The event bus, and metrics as its subscriber."""

from prometheus_client import CollectorRegistry, generate_latest
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.event_bus import (
    ConnectionChanged,
    CountsRepaired,
    CrawlerChanged,
    ErrorsSent,
    EventBus,
    JobChanged,
    JobSent,
    JobsReported,
    MessagesHandled,
    Refused,
    TokenRefreshed,
)
from copilot_socket.metrics import Metrics

STATE_EVENTS = (
    JobChanged("JOB", "failed", "job_failed", "JOB.1.x", "c1", "broke", "failed"),
    JobSent("JOB", "JOB.1.x", "c1", 0.25, "acct", "issues", "g/p"),
    ConnectionChanged("conn", "c1", "opened"),
    CrawlerChanged("c1", "left"),
    MessagesHandled("heartbeat", "ok", [(0.001, 3)]),
    MessagesHandled("heartbeat", "invalid_message", [(0.002, 1)]),
    MessagesHandled("heartbeat", "invalid_json", [(60.0, 1)]),
    TokenRefreshed("acct", "refreshed"),
    JobChanged("JOB", "queued", "release", "JOB.2.x", "c1", "its crawler is gone", "released"),
    ErrorsSent("invalid_message", 4),
    ErrorsSent("too_many_connections"),
    JobsReported("completed", "job_completed", [("A.1.x", "c1", "acct"), ("B.1.x", "c2", "acct")], "completed"),
    Refused("http", "no_token", "stranger", "::1", "GET /"),
    CountsRepaired(2),
)


class EventBusTests(SynchronousTestCase):
    """EventBus.publish()."""

    def test_a_subscriber_that_fails(self) -> None:
        """It affects neither the others nor the publisher, and is logged."""
        heard: list[object] = []

        def broken(_news: object) -> None:
            raise RuntimeError("broken")

        bus = EventBus()
        bus.subscribe(broken)
        bus.subscribe(heard.append)
        bus.publish(STATE_EVENTS[0])
        self.assertEqual(heard, [STATE_EVENTS[0]])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_metrics(self) -> None:
        """Each state event changes its metric, with the names that dashboards use."""
        registry = CollectorRegistry()
        bus = EventBus()
        bus.subscribe_by_type(Metrics(registry).subscriptions)
        for change in STATE_EVENTS:
            bus.publish(change)
        page = generate_latest(registry).decode()
        for line in (
            "socket_connections_total 1.0",
            'socket_messages_processed_total{outcome="ok",type="heartbeat"} 3.0',
            'socket_errors_total{code="invalid_message"} 5.0',
            'socket_errors_total{code="too_many_connections"} 1.0',
            'copilot_crawler_changes_total{event="left"} 1.0',
            'copilot_releases_total{reason="its crawler is gone"} 1.0',
            'copilot_tries_total{outcome="released"} 1.0',
            'socket_processing_duration_seconds_bucket{le="0.0005",type="heartbeat"} 0.0',
            'socket_processing_duration_seconds_bucket{le="0.001",type="heartbeat"} 3.0',
            'socket_processing_duration_seconds_bucket{le="10.0",type="heartbeat"} 4.0',
            'socket_processing_duration_seconds_bucket{le="+Inf",type="heartbeat"} 5.0',
            'socket_processing_duration_seconds_count{type="heartbeat"} 5.0',
            'socket_processing_duration_seconds_sum{type="heartbeat"} 60.005',
            "copilot_dispatch_seconds_count 1.0",
            'copilot_job_changes_total{event="job_failed",status="failed"} 1.0',
            'copilot_tries_total{outcome="failed"} 1.0',
            'copilot_token_refreshes_total{outcome="refreshed"} 1.0',
            'copilot_job_changes_total{event="job_completed",status="completed"} 2.0',
            'copilot_tries_total{outcome="completed"} 2.0',
            'copilot_refusals_total{door="http",reason="no_token"} 1.0',
            'copilot_refusals_total{door="wire",reason="no_token"} 0.0',
            "copilot_job_counts_drift_total 2.0",
        ):
            self.assertIn(line, page)
