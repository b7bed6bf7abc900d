"""What this node sees that no transaction tells of: connections, heartbeats, and what it has decided about others.

A subscriber to the event bus. What it gathers is stored with the next numbers, within some 20 ms.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from twisted.internet.interfaces import IReactorTime

from copilot_socket import event_bus
from copilot_socket.core.live_events import LOST, LiveEvent, encoded, given
from copilot_socket.event_bus import StateEvent
from copilot_socket.store.live_events import RETRY, Numbering

EACH = 0.02
"""Seconds between rounds."""
MOST_WAITING = 4 * 1024 * 1024
"""Bytes of events that wait to be stored; more are not stored one by one."""


class LiveEventRecorder:
    """Gathers events, and stores them by *numbering*."""

    def __init__(self, numbering: Numbering, reactor: IReactorTime) -> None:
        self._numbering = numbering
        self._reactor = reactor
        self._waiting: list[str] = []
        self._size = 0
        self._lost = False
        self._not_before = float("-inf")

    @property
    def subscriptions(self) -> Mapping[type[StateEvent], Callable[[Any], None]]:
        """What to subscribe to the bus."""
        return {kind: self._subscriber(render) for kind, render in _RENDERING.items()}

    def _subscriber(self, render: Callable[[Any], LiveEvent]) -> Callable[[Any], None]:
        return lambda change: self.add(render(change))

    def add(self, event: LiveEvent) -> None:
        """Have *event* stored."""
        change = encoded(event)
        if self._size + len(change) <= MOST_WAITING:
            self._waiting.append(change)
            self._size += len(change)
        else:
            self._lost = True

    async def run(self) -> None:
        """Store what was gathered, and number what is committed. Raises the database's error, at most once a second.

        What could not be stored, or perhaps was, is told as lost with the next round.
        """
        if self._reactor.seconds() < self._not_before:
            return
        waiting, lost = self._waiting, self._lost
        self._waiting, self._size, self._lost = [], 0, False
        try:
            await self._numbering.run([LOST] if lost else waiting)
        except Exception:
            self._lost = self._lost or lost or bool(waiting)
            self._not_before = self._reactor.seconds() + RETRY
            raise


def _account(change: event_bus.TokenRefreshed) -> LiveEvent:
    return LiveEvent("account", {"account_id": change.account, "event": change.outcome})


def _budget(change: event_bus.BudgetChanged) -> LiveEvent:
    until = None if change.until is None else datetime.fromtimestamp(change.until, UTC).isoformat(timespec="seconds")
    fields = {
        "gitlab_origin": change.origin,
        "account_id": change.account,
        "name": change.name,
        "event": change.event,
        "jobs_allowed": change.jobs_allowed,
        "until": until and until.replace("+00:00", "Z"),
    }
    return LiveEvent("budget", given(fields))


def _pause(change: event_bus.PauseChanged) -> LiveEvent:
    fields = {
        "id": change.pause,
        "event": change.event,
        "scope": change.scope,
        "target": change.target,
        "author": change.author,
        "reason": change.reason,
    }
    return LiveEvent("pause", given(fields))


def _host(change: event_bus.HostChanged) -> LiveEvent:
    return LiveEvent("host", {"gitlab_origin": change.origin, "event": change.event})


def _connection(change: event_bus.ConnectionChanged) -> LiveEvent:
    active = change.event != "closed"
    fields = {"crawler_id": change.crawler, "event": change.event, "is_active": active, "reason": change.reason}
    return LiveEvent("connection", {"id": change.connection, **given(fields)})


def _crawler(change: event_bus.CrawlerChanged) -> LiveEvent:
    return LiveEvent("connection", {"crawler_id": change.crawler, "event": change.event})


def _heartbeat(change: event_bus.HeartbeatHeard) -> LiveEvent:
    fields = {
        "crawler_id": change.crawler,
        "system_status": change.system_status,
        "metadata": given(change.activity),
    }
    return LiveEvent("heartbeat", {"id": change.connection, **given(fields)})


_RENDERING: Mapping[type[StateEvent], Callable[[Any], LiveEvent]] = {
    event_bus.ConnectionChanged: _connection,
    event_bus.CrawlerChanged: _crawler,
    event_bus.HeartbeatHeard: _heartbeat,
    event_bus.HostChanged: _host,
    event_bus.PauseChanged: _pause,
    event_bus.BudgetChanged: _budget,
    event_bus.TokenRefreshed: _account,
}
"""State event → the event that it is stored as. Those of jobs are stored by the transactions that change these."""
