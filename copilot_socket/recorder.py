"""Records by the minute what this node does, and how attempts of crawlers end: a subscriber to the event bus."""

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime

from copilot_socket import event_bus
from copilot_socket.core.crawler_ends import CrawlerEnds
from copilot_socket.core.ends import Cause
from copilot_socket.core.history import Interval
from copilot_socket.store.history import SECONDS, History

EACH = 10.0
"""Seconds between two writes of the present minute: what a killed node loses of it."""
MOST = 60
"""Minutes that are kept while the database is away."""
MINUTE = SECONDS["minute"]


class Recorder:
    """Counts by minutes of the database's clock. *crawlers* returns how many are connected now."""

    def __init__(self, history: History, node: str, crawlers: Callable[[], int], reactor: IReactorTime) -> None:
        self._history = history
        self._node = node
        self._crawlers = crawlers
        self._reactor = reactor
        self._minutes: dict[int, Interval] = {}
        """Minutes that are not stored, or may change, by their beginnings."""
        self._ahead: float | None = None
        """Seconds by which the database's clock is ahead of the reactor's, once that is known."""
        self._early = Interval()
        """What happens before."""
        self._ends = CrawlerEnds()
        self._early_ends: list[tuple[str, Cause, float | None]] = []
        self._one_at_a_time = DeferredLock()
        self.subscriptions: Mapping[type[event_bus.StateEvent], Callable[[Any], None]] = {
            event_bus.JobChanged: self._changed,
            event_bus.JobsReported: self._reported,
            event_bus.JobSent: self._sent,
        }
        """State event → the method that counts it."""

    async def store(self) -> None:
        """Store the present minute so far, and what was not stored before it. Raises the database's error."""
        await self._one_at_a_time.run(self._store)

    async def _store(self) -> None:
        if self._ahead is None:
            ahead = await self._history.record(self._node, {}) - self._reactor.seconds()
            self._ahead = ahead
            self._minutes[self._minute(ahead)] = self._early
            for early in self._early_ends:
                self._ended(*early)
            self._early_ends.clear()
        present = self._now()
        present.crawlers = max(present.crawlers, self._crawlers())
        taken = dict(self._minutes)
        ends = self._ends.take(self._reactor.seconds() + self._ahead)
        try:
            self._ahead = await self._history.record(self._node, taken, ends) - self._reactor.seconds()
        except BaseException:
            self._ends.put_back(ends, self._reactor.seconds() + self._ahead)
            raise
        # The last minute is kept: the clocks may differ by a little from one time to the next.
        for at in [at for at in taken if at < self._minute(self._ahead) - MINUTE]:
            del self._minutes[at]
        await self._history.sample()

    def _minute(self, ahead: float) -> int:
        return int((self._reactor.seconds() + ahead) // MINUTE * MINUTE)

    def _now(self) -> Interval:
        """The present minute."""
        if self._ahead is None:
            return self._early
        at = self._minute(self._ahead)
        if at not in self._minutes:
            self._minutes[at] = Interval()
            for old in sorted(self._minutes)[:-MOST]:
                del self._minutes[old]
        return self._minutes[at]

    def _changed(self, change: event_bus.JobChanged) -> None:
        minute = self._now()
        minute.entered(change.status)
        if change.outcome is not None:
            cause = Cause(change.cause or Cause.RELEASED)
            minute.attempt_ended(cause, change.ran)
            if change.crawler is not None:
                self._ended(change.crawler, cause, change.ran)

    def _reported(self, change: event_bus.JobsReported) -> None:
        minute = self._now()
        minute.entered(change.status, len(change.attempts))
        if change.outcome is not None:
            for (_, crawler, _), seconds in zip(change.attempts, change.ran, strict=True):
                minute.attempt_ended(Cause.COMPLETED, seconds)
                self._ended(crawler, Cause.COMPLETED, seconds)

    def _ended(self, crawler: str, cause: Cause, seconds: float | None) -> None:
        if self._ahead is None:
            self._early_ends.append((crawler, cause, seconds))
        else:
            self._ends.add(self._reactor.seconds() + self._ahead, crawler, cause, seconds)

    def _sent(self, change: event_bus.JobSent) -> None:
        if change.waited is not None:
            self._now().dispatch.add(change.waited)
