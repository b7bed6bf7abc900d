"""Events of event streams: their types, their rendering from state events, and the filters of a stream."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
import orjson

from copilot_socket import event_bus
from copilot_socket.core.jobs import Event as JobEvent
from copilot_socket.core.jobs import Status
from copilot_socket.event_bus import StateEvent

_CHANGES = (event_bus.JobChanged, event_bus.JobsReported)
KINDS: Mapping[str, frozenset[type[StateEvent]]] = {
    "account": frozenset({event_bus.TokenRefreshed}),
    "budget": frozenset({event_bus.BudgetChanged}),
    "connection": frozenset({event_bus.ConnectionChanged, event_bus.CrawlerChanged}),
    "heartbeat": frozenset({event_bus.HeartbeatHeard}),
    "host": frozenset({event_bus.HostChanged}),
    "pause": frozenset({event_bus.PauseChanged}),
    "job": frozenset({event_bus.JobCreated, event_bus.JobSent, *_CHANGES, event_bus.JobProgressed}),
}
"""Event type → the state events that it is rendered from."""

Data = dict[str, Any]


@attrs.frozen
class Event:
    """One event. ``data`` uses the names of database columns; fields that do not apply are omitted."""

    type: str
    data: Data

    def encode(self, id_: str, timestamp: str) -> bytes:
        """The event as bytes (HTML Standard, section 9.2)."""
        data = orjson.dumps({**self.data, "timestamp": timestamp})
        return b"id: %s\nevent: %s\ndata: %s\n\n" % (id_.encode(), self.type.encode(), data)


@attrs.frozen
class Filters:
    """The filters of a stream. An event without a field that a filter names does not match."""

    types: frozenset[str] = frozenset(KINDS)
    job_id: str | None = None
    account_id: str | None = None
    crawler: str | None = None
    statuses: frozenset[str] | None = None

    @property
    def kinds(self) -> frozenset[type[StateEvent]]:
        """The state events from which a matching event may be rendered."""
        of_jobs = (self.job_id, self.account_id, self.statuses) != (None, None, None)
        types = self.types & {"job"} if of_jobs else self.types
        kinds: frozenset[type[StateEvent]] = frozenset().union(*(KINDS[name] for name in types))
        return kinds if self.statuses is None else kinds - {event_bus.JobProgressed}

    def matches(self, event: Event) -> bool:
        """Whether *event* passes all filters."""
        data = event.data
        return (
            event.type in self.types
            and (self.job_id is None or (event.type == "job" and data["id"] == self.job_id))
            and (self.account_id is None or data.get("account_id") == self.account_id)
            and (self.crawler is None or data.get("crawler_id") == self.crawler)
            and (self.statuses is None or data.get("status") in self.statuses)
        )


class Renderer:
    """Renders state events as events. *name_of* maps the crawler key of a lease to the ``crawler_id``."""

    def __init__(self, name_of: Callable[[str], str]) -> None:
        self._name_of = name_of
        self._rendering: Mapping[type[StateEvent], Callable[[Any], Event]] = {
            event_bus.JobCreated: _created,
            event_bus.JobSent: _sent,
            event_bus.JobChanged: self._changed,
            event_bus.JobProgressed: self._progressed,
            event_bus.ConnectionChanged: _connection,
            event_bus.CrawlerChanged: _crawler,
            event_bus.HeartbeatHeard: _heartbeat,
            event_bus.HostChanged: _host,
            event_bus.PauseChanged: _pause,
            event_bus.BudgetChanged: _budget,
            event_bus.TokenRefreshed: _account,
        }

    def __call__(self, change: StateEvent) -> list[Event]:
        """The events for *change*, which is of one of the :data:`KINDS`."""
        return [self._rendering[type(each)](each) for each in event_bus.one_by_one(change)]

    def _changed(self, change: event_bus.JobChanged) -> Event:
        return _job(
            change.job_id,
            event=str(change.event),
            status=str(change.status),
            crawler_job_id=change.assignment,
            crawler_id=None if change.crawler is None else self._name_of(change.crawler),
            account_id=change.account,
            outcome=None if change.outcome is None else str(change.outcome),
            cause=None if change.cause is None else str(change.cause),
            reason=change.reason,
            error=change.fingerprint,
        )

    def _progressed(self, change: event_bus.JobProgressed) -> Event:
        return _job(
            change.job_id,
            event=str(JobEvent.PROGRESSED),
            crawler_job_id=change.assignment,
            crawler_id=self._name_of(change.crawler),
            account_id=change.account,
            progress=change.progress,
        )


def _job(job_id: str, **fields: Any) -> Event:
    return Event("job", {"id": job_id, **_given(fields)})


def _created(change: event_bus.JobCreated) -> Event:
    return _job(
        change.job_id,
        event="created",
        status=str(Status.QUEUED),
        account_id=change.account,
        command=change.command,
        full_path=change.full_path,
    )


def _sent(change: event_bus.JobSent) -> Event:
    return _job(
        change.job_id,
        event="sent",
        status=str(Status.ASSIGNED),
        crawler_job_id=change.assignment,
        crawler_id=change.crawler,
        account_id=change.account,
        command=change.command,
        full_path=change.full_path,
    )


def _account(change: event_bus.TokenRefreshed) -> Event:
    return Event("account", {"account_id": change.account, "event": change.outcome})


def _budget(change: event_bus.BudgetChanged) -> Event:
    until = None if change.until is None else datetime.fromtimestamp(change.until, UTC).isoformat(timespec="seconds")
    fields = {
        "gitlab_origin": change.origin,
        "account_id": change.account,
        "name": change.name,
        "event": change.event,
        "jobs_allowed": change.jobs_allowed,
        "until": until and until.replace("+00:00", "Z"),
    }
    return Event("budget", _given(fields))


def _pause(change: event_bus.PauseChanged) -> Event:
    fields = {
        "id": change.pause,
        "event": change.event,
        "scope": change.scope,
        "target": change.target,
        "author": change.author,
        "reason": change.reason,
    }
    return Event("pause", _given(fields))


def _host(change: event_bus.HostChanged) -> Event:
    return Event("host", {"gitlab_origin": change.origin, "event": change.event})


def _connection(change: event_bus.ConnectionChanged) -> Event:
    active = change.event != "closed"
    fields = {"crawler_id": change.crawler, "event": change.event, "is_active": active, "reason": change.reason}
    return Event("connection", {"id": change.connection, **_given(fields)})


def _crawler(change: event_bus.CrawlerChanged) -> Event:
    return Event("connection", {"crawler_id": change.crawler, "event": change.event})


def _heartbeat(change: event_bus.HeartbeatHeard) -> Event:
    fields = {
        "crawler_id": change.crawler,
        "system_status": change.system_status,
        "metadata": _given(change.activity),
    }
    return Event("heartbeat", {"id": change.connection, **_given(fields)})


def _given(fields: Mapping[str, Any]) -> Data:
    return {name: value for name, value in fields.items() if value is not None}
