"""Waiting for the end of a job (``?wait=``)."""

from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from copilot_socket.core.jobs import TERMINAL
from copilot_socket.event_bus import EventBus, JobChanged
from copilot_socket.store.catalog import Catalog

LOOK = 1.0
"""Seconds between looks at the database: another node may have seen the end."""


class Endings:
    """Requests that wait for jobs to end; what this node hears of *bus* ends them at once."""

    def __init__(self, catalog: Catalog, bus: EventBus, reactor: IReactorTime) -> None:
        self._catalog = catalog
        self._reactor = reactor
        self._waiting: dict[str, list[Deferred[None]]] = {}
        bus.subscribe_by_type({JobChanged: self._changed})

    async def wait(self, job: str, seconds: float, still_there: Callable[[], Awaitable[object]]) -> None:
        """Return when *job* is over, or deleted, or after *seconds*. *still_there* raises if the client is gone."""
        until = self._reactor.seconds() + seconds
        while True:
            ended = self._next(job, min(LOOK, until - self._reactor.seconds()))
            status = await self._catalog.job_status(job)
            if status is None or status in TERMINAL or self._reactor.seconds() >= until:
                ended.callback(None) if not ended.called else None
                return
            await ended
            await still_there()

    def _next(self, job: str, seconds: float) -> "Deferred[None]":
        """Fires with the next end of *job* on this node, or after *seconds*."""
        d: Deferred[None] = Deferred()
        waiting = self._waiting.setdefault(job, [])
        waiting.append(d)
        timer = self._reactor.callLater(max(seconds, 0.0), lambda: d.callback(None) if not d.called else None)

        def over(result: None) -> None:
            if timer.active():
                timer.cancel()
            waiting.remove(d)
            if not waiting:
                self._waiting.pop(job, None)

        d.addCallback(over)
        return d

    def _changed(self, event: JobChanged) -> None:
        if event.status in TERMINAL:
            for d in list(self._waiting.get(event.job_id, ())):
                if not d.called:
                    d.callback(None)
