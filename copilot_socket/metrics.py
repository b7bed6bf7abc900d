"""Metrics counted from state events (:mod:`copilot_socket.event_bus`) and read from the database."""

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Gauge

from copilot_socket import event_bus
from copilot_socket.core.acts import REASONS
from copilot_socket.core.ends import Cause
from copilot_socket.core.errors import ErrorCode
from copilot_socket.core.jobs import COMMANDS, Loss, Outcome
from copilot_socket.store.counts import count_accounts, count_budgets, count_deliveries, count_jobs
from copilot_socket.store.database import Database
from copilot_socket.tallies import Durations, Tally

_FAST = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_DISPATCH = (*_FAST, 30, 60, 300, 1800)
_PRESENCE = ("came", "left", "fell silent", "fails everything")
_REFRESHES = ("refreshed", "refused", "failed")
_DELIVERIES = ("delivered", "retried", "failed", "gone")


class Metrics:
    """Counts state events and reads gauges from the database; :mod:`copilot_socket.gauges` has the others."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._connections = Tally("socket_connections", "Connections accepted", [], registry)
        self._messages = Tally("socket_messages_processed", "Messages handled", ["type", "outcome"], registry)
        self._errors = Tally("socket_errors", "Error replies, by code", ["code"], registry, ErrorCode)
        self._seconds = Durations(
            "socket_processing_duration_seconds",
            "Seconds from reading a message to its reply",
            ["type"],
            _FAST,
            registry,
        )
        self._dispatch = Durations(
            "copilot_dispatch_seconds",
            "Seconds from the time when a job is due until it is sent",
            [],
            _DISPATCH,
            registry,
        )
        self._changes = Tally("copilot_job_changes", "Changes of a job's state", ["status", "event"], registry)
        self._tries = Tally("copilot_tries", "Attempts that ended", ["outcome"], registry, Outcome)
        self._causes = Tally("copilot_attempts_ended", "Attempts that ended, by cause", ["cause"], registry, Cause)
        self._releases = Tally("copilot_releases", "Attempts released, by reason", ["reason"], registry, Loss)
        self._crawlers = Tally(
            "copilot_crawler_changes", "Crawlers that connected, left or fell silent", ["event"], registry, _PRESENCE
        )
        self._tokens = Tally("copilot_token_refreshes", "Token refreshes", ["outcome"], registry, _REFRESHES)
        self._refusals = Tally(
            "copilot_refusals",
            "Requests, connections and messages that were refused",
            ["door", "reason"],
            registry,
            [(door, reason) for door, reasons in REASONS.items() for reason in reasons],
        )
        self._deliveries = Tally(
            "copilot_webhook_attempts", "Messages that were sent to webhooks", ["outcome"], registry, _DELIVERIES
        )
        self._drift = Tally(
            "copilot_job_counts_drift", "Counters of jobs that were wrong, and were repaired", [], registry
        )
        self._jobs = Gauge("copilot_jobs", "Jobs by status", ["status"], registry=registry)
        self._oldest = Gauge(
            "copilot_queue_oldest_seconds",
            "Seconds for which the oldest claimable job has been due",
            registry=registry,
        )
        self._unroutable = Gauge(
            "copilot_jobs_unroutable",
            "Claimable jobs that no crawler takes which may be given work",
            registry=registry,
        )
        self._commands = Gauge(
            "copilot_jobs_unroutable_by_command",
            "The same by command",
            ["command"],
            registry=registry,
        )
        self._held_back = Gauge(
            "copilot_jobs_held_back",
            "Queued jobs that pauses, host holds, limits, budgets or a credential keep back",
            registry=registry,
        )
        self._accounts = Gauge(
            "copilot_accounts", "Accounts by the state of their credential", ["credential_status"], registry=registry
        )
        self._budgets = Gauge(
            "copilot_budgets", "Budgets of requests that keep jobs back", ["state"], registry=registry
        )
        self._undelivered = Gauge(
            "copilot_webhook_deliveries_pending", "Messages that webhooks are still to be sent", registry=registry
        )
        self._undelivered_oldest = Gauge(
            "copilot_webhook_oldest_seconds", "Age of the oldest of these in seconds", registry=registry
        )
        self._read_at = Gauge(
            "copilot_gauges_read_timestamp_seconds",
            "When the counts of jobs and accounts were last read from the database",
            registry=registry,
        )
        self.subscriptions: Mapping[type[event_bus.StateEvent], Callable[[Any], None]] = {
            event_bus.JobChanged: self._job,
            event_bus.JobsReported: self._reported,
            event_bus.JobSent: self._sent,
            event_bus.ConnectionChanged: self._connection,
            event_bus.CrawlerChanged: self._crawler,
            event_bus.MessagesHandled: self._message,
            event_bus.ErrorsSent: self._error,
            event_bus.TokenRefreshed: self._token,
            event_bus.Refused: self._refused,
            event_bus.CountsRepaired: self._repaired,
            event_bus.WebhookTried: self._webhook,
        }
        """State event → the method that counts it."""

    async def refresh(self, database: Database) -> None:
        """Read the gauges from the database."""
        jobs = await count_jobs(database)
        for status, count in jobs.by_status.items():
            self._jobs.labels(status).set(count)
        self._oldest.set(jobs.oldest)
        self._unroutable.set(sum(jobs.unroutable.values()))
        for command in COMMANDS:
            self._commands.labels(command).set(jobs.unroutable.get(command, 0))
        self._held_back.set(jobs.held_back)
        for state, count in (await count_accounts(database)).items():
            self._accounts.labels(state).set(count)
        for state, count in (await count_budgets(database)).items():
            self._budgets.labels(state).set(count)
        pending, oldest = await count_deliveries(database)
        self._undelivered.set(pending)
        self._undelivered_oldest.set(oldest)
        self._read_at.set_to_current_time()

    def _job(self, change: event_bus.JobChanged) -> None:
        self._changes.add(change.status, change.event)
        if change.outcome is not None:
            self._tries.add(change.outcome)
            self._causes.add(change.cause or Cause.RELEASED)
            if change.outcome == Outcome.RELEASED and change.reason is not None:
                self._releases.add(change.reason)

    def _reported(self, change: event_bus.JobsReported) -> None:
        count = len(change.attempts)
        self._changes.add(change.status, change.event, count=count)
        if change.outcome is not None:
            self._tries.add(change.outcome, count=count)
            self._causes.add(Cause.COMPLETED, count=count)

    def _sent(self, change: event_bus.JobSent) -> None:
        if change.waited is not None:
            self._dispatch.add(change.waited)

    def _connection(self, change: event_bus.ConnectionChanged) -> None:
        if change.event == "opened":
            self._connections.add()

    def _crawler(self, change: event_bus.CrawlerChanged) -> None:
        self._crawlers.add(change.event)

    def _message(self, change: event_bus.MessagesHandled) -> None:
        count = change.count
        self._messages.add(change.type, change.outcome, count=count)
        for seconds, times in change.seconds:
            self._seconds.add(seconds, change.type, times=times)
        if change.outcome != "ok":
            self._errors.add(change.outcome, count=count)

    def _error(self, change: event_bus.ErrorsSent) -> None:
        self._errors.add(change.code, count=change.count)

    def _token(self, change: event_bus.TokenRefreshed) -> None:
        self._tokens.add(change.outcome)

    def _refused(self, refusal: event_bus.Refused) -> None:
        self._refusals.add(refusal.door, refusal.reason)

    def _repaired(self, change: event_bus.CountsRepaired) -> None:
        self._drift.add(count=change.counters)

    def _webhook(self, attempt: event_bus.WebhookTried) -> None:
        self._deliveries.add(attempt.outcome)
