"""News as events for event streams: their names, their data, and each stream's filters."""

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import orjson

from copilot_socket import telling
from copilot_socket.core.jobs import Event as JobEvent
from copilot_socket.core.jobs import Status
from copilot_socket.telling import News

_CHANGES = (telling.JobChanged, telling.JobsReported)
KINDS: Mapping[str, frozenset[type[News]]] = {
    "connection": frozenset({telling.ConnectionChanged, telling.CrawlerChanged}),
    "heartbeat": frozenset({telling.HeartbeatHeard}),
    "job": frozenset({telling.JobCreated, telling.JobSent, *_CHANGES, telling.JobProgressed}),
}
"""The news behind each type of event."""

Data = dict[str, Any]


@attrs.frozen
class Event:
    """One event. ``data`` has the names of the database's columns; what does not apply is left out."""

    type: str
    data: Data

    def encode(self, id_: str, timestamp: str) -> bytes:
        """As it is sent (HTML Standard, section 9.2)."""
        data = orjson.dumps({**self.data, "timestamp": timestamp})
        return b"id: %s\nevent: %s\ndata: %s\n\n" % (id_.encode(), self.type.encode(), data)


@attrs.frozen
class Wanted:
    """The filters of a stream. An event without a field that a filter names does not match."""

    types: frozenset[str] = frozenset(KINDS)
    job_id: str | None = None
    account_id: str | None = None
    crawler: str | None = None
    statuses: frozenset[str] | None = None

    @property
    def kinds(self) -> frozenset[type[News]]:
        """The news that may bring such events."""
        of_jobs = (self.job_id, self.account_id, self.statuses) != (None, None, None)
        types = self.types & {"job"} if of_jobs else self.types
        kinds: frozenset[type[News]] = frozenset().union(*(KINDS[name] for name in types))
        return kinds if self.statuses is None else kinds - {telling.JobProgressed}

    def takes(self, event: Event) -> bool:
        """Whether *event* is one of them."""
        data = event.data
        return (
            event.type in self.types
            and (self.job_id is None or (event.type == "job" and data["id"] == self.job_id))
            and (self.account_id is None or data.get("account_id") == self.account_id)
            and (self.crawler is None or data.get("crawler_id") == self.crawler)
            and (self.statuses is None or data.get("status") in self.statuses)
        )


class Renderer:
    """Makes events of news. *name_of* gives the ``crawler_id`` of the identity that leases name."""

    def __init__(self, name_of: Callable[[str], str]) -> None:
        self._name_of = name_of
        self._rendering: Mapping[type[News], Callable[[Any], Event]] = {
            telling.JobCreated: _created,
            telling.JobSent: _sent,
            telling.JobChanged: self._changed,
            telling.JobProgressed: self._progressed,
            telling.ConnectionChanged: _connection,
            telling.CrawlerChanged: _crawler,
            telling.HeartbeatHeard: _heartbeat,
        }

    def __call__(self, news: News) -> list[Event]:
        """The events that *news* of one of the :data:`KINDS` are."""
        return [self._rendering[type(each)](each) for each in telling.one_by_one(news)]

    def _changed(self, news: telling.JobChanged) -> Event:
        return _job(
            news.job_id,
            event=str(news.event),
            status=str(news.status),
            crawler_job_id=news.assignment,
            crawler_id=None if news.crawler is None else self._name_of(news.crawler),
            account_id=news.account,
            outcome=None if news.outcome is None else str(news.outcome),
            reason=news.reason,
        )

    def _progressed(self, news: telling.JobProgressed) -> Event:
        return _job(
            news.job_id,
            event=str(JobEvent.PROGRESSED),
            crawler_job_id=news.assignment,
            crawler_id=self._name_of(news.crawler),
            account_id=news.account,
            progress=news.progress,
        )


def _job(job_id: str, **fields: Any) -> Event:
    return Event("job", {"id": job_id, **_given(fields)})


def _created(news: telling.JobCreated) -> Event:
    return _job(
        news.job_id,
        event="created",
        status=str(Status.QUEUED),
        account_id=news.account,
        command=news.command,
        full_path=news.full_path,
    )


def _sent(news: telling.JobSent) -> Event:
    return _job(
        news.job_id,
        event="sent",
        status=str(Status.ASSIGNED),
        crawler_job_id=news.assignment,
        crawler_id=news.crawler,
        account_id=news.account,
        command=news.command,
        full_path=news.full_path,
    )


def _connection(news: telling.ConnectionChanged) -> Event:
    active = news.event != "closed"
    fields = {"crawler_id": news.crawler, "event": news.event, "is_active": active, "reason": news.reason}
    return Event("connection", {"id": news.connection, **_given(fields)})


def _crawler(news: telling.CrawlerChanged) -> Event:
    return Event("connection", {"crawler_id": news.crawler, "event": news.event})


def _heartbeat(news: telling.HeartbeatHeard) -> Event:
    fields = {"crawler_id": news.crawler, "system_status": news.system_status, "metadata": _given(news.activity)}
    return Event("heartbeat", {"id": news.connection, **_given(fields)})


def _given(fields: Mapping[str, Any]) -> Data:
    return {name: value for name, value in fields.items() if value is not None}
