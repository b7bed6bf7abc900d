"""Crawlers that fail everything: suspected, for people to look at and perhaps to quarantine."""

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from copilot_socket.core.crawler_modes import MOST_FAILED, Failures
from copilot_socket.core.ends import Cause
from copilot_socket.core.identity import crawler_name
from copilot_socket.core.jobs import Status
from copilot_socket.event_bus import CrawlerChanged, EventBus, JobChanged, JobsReported
from copilot_socket.handlers.dispatch.schedule import ignore_outage
from copilot_socket.store.crawler_modes import CrawlerModes

SUSPECTED = "fails everything"
MOST = 10_000
"""Crawlers whose failures are counted."""


class Suspicion:
    """Counts the failures of each crawler, by its identity, and publishes when one becomes suspected."""

    log = Logger()

    def __init__(self, bus: EventBus, modes: CrawlerModes) -> None:
        self._bus = bus
        self._modes = modes
        self._failures: dict[str, Failures] = {}

    @property
    def subscriptions(self) -> Mapping[type, Callable[[Any], None]]:
        """Ends of attempts."""
        return {JobChanged: self._changed, JobsReported: self._reported, CrawlerChanged: self._crawler_changed}

    def _changed(self, changed: JobChanged) -> None:
        if changed.crawler is None or changed.outcome is None:
            return
        if changed.cause != Cause.JOB_ERROR:  # it does not fail everything
            self._clear(changed.crawler)
            return
        if changed.crawler not in self._failures:
            while len(self._failures) >= MOST:
                del self._failures[next(iter(self._failures))]
            self._failures[changed.crawler] = Failures()
        if self._failures[changed.crawler].failed(changed.job_id):
            name = crawler_name(changed.crawler)
            self.log.warn(
                "Crawler {crawler} fails everything: its last {count} attempts, each of another job "
                "(copilot-socket crawlers quarantine keeps it from more)",
                crawler=name,
                count=MOST_FAILED,
            )
            self._bus.publish(CrawlerChanged(name, SUSPECTED))
            self._store(changed.crawler, True)

    def _crawler_changed(self, changed: CrawlerChanged) -> None:
        """One that comes again is not suspected any more, as its row says."""
        if changed.event == "came":
            for crawler in [each for each in self._failures if crawler_name(each) == changed.crawler]:
                del self._failures[crawler]

    def _clear(self, crawler: str) -> None:
        failures = self._failures.pop(crawler, None)
        if failures is not None and failures.suspected:
            self._store(crawler, False)

    def _store(self, crawler: str, suspected: bool) -> None:
        d = Deferred.fromCoroutine(self._modes.suspect(crawler, suspected))
        d.addErrback(ignore_outage)
        d.addErrback(lambda failure: self.log.failure("Storing a suspicion failed", failure))

    def _reported(self, reported: JobsReported) -> None:
        if reported.status == Status.COMPLETED and self._failures:
            for _assignment, crawler, _account in reported.attempts:
                self._clear(crawler)
