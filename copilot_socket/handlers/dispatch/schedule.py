"""Makes delayed jobs claimable when they fall due, rather than at the next poll."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.event_bus import JobChanged
from copilot_socket.store.dispatch_reads import DispatchReads
from copilot_socket.store.faults import DATABASE_ERRORS

MARGIN = 0.005
"""Seconds added to the due time, so that it is past by the database's clock, too."""


class DueJobs:
    """Keeps one timer, for the next job that falls due; calls *work_came* with the lanes of due jobs."""

    log = Logger()

    def __init__(
        self, reads: DispatchReads, reactor: IReactorTime, work_came: Callable[[Iterable[tuple[str, str]]], None]
    ) -> None:
        self._reads = reads
        self._reactor = reactor
        self._work_came = work_came
        self._timer: IDelayedCall | None = None
        self._stopped = False

    @property
    def subscriptions(self) -> Mapping[type, Callable[[Any], None]]:
        """Delays set by this node."""
        return {JobChanged: self._job_changed}

    def _job_changed(self, changed: JobChanged) -> None:
        if changed.delay > 0:
            self.expect(changed.delay)

    def expect(self, seconds: float) -> None:
        """A job falls due in *seconds*."""
        if self._stopped:
            return
        at = self._reactor.seconds() + seconds + MARGIN
        if self._timer is not None and self._timer.active():
            if self._timer.getTime() <= at:
                return
            self._timer.cancel()
        self._timer = self._reactor.callLater(max(0.0, seconds) + MARGIN, self._fire)

    async def look(self) -> None:
        """Promote the jobs that are due, and set the timer for the next one."""
        lanes = await self._reads.promote_due()
        if lanes:
            self._work_came(lanes)
        until = await self._reads.next_due()
        if until is not None:
            self.expect(until)

    def stop(self) -> None:
        """Set no more timers."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _fire(self) -> None:
        d = Deferred.fromCoroutine(self.look())
        d.addErrback(ignore_outage)
        d.addErrback(lambda failure: self.log.failure("Promoting due jobs failed", failure))


def ignore_outage(failure: Failure) -> None:
    """An errback for reads that the next poll repeats: ignores errors of the database."""
    failure.trap(*DATABASE_ERRORS)
