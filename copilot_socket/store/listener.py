"""LISTEN: what other programs and nodes did to the jobs. A hint only; a slow poll stands behind it."""

from collections.abc import Callable

import psycopg2
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.store.connection import Connection
from copilot_socket.store.faults import DatabaseAway

RETRY = 0.5


class Listener:
    """Keeps *connection* listening, and makes it anew whenever it is lost.

    *on_jobs* is told which lanes have work, as the notification says it, and the empty string where there may be any.
    """

    log = Logger()

    def __init__(
        self,
        connection: Connection,
        reactor: IReactorTime,
        *,
        on_jobs: Callable[[str], None],
        on_ended: Callable[[str], None],
    ) -> None:
        self._connection = connection
        connection.on_notify = self._notified
        connection.on_lost = self._lost
        self._reactor = reactor
        self._on_jobs = on_jobs
        self._on_ended = on_ended
        self._running: Deferred[None] | None = None
        self._stopped = False

    @property
    def listening(self) -> bool:
        """Whether notifications arrive at present."""
        return self._connection.connected and self._running is None

    def start(self) -> "Deferred[None]":
        """Begin to listen; fires at once when that works, else when it does."""
        self._running = Deferred.fromCoroutine(self._listen())
        self._running.addErrback(_cancelled)
        return self._running

    def stop(self) -> None:
        """Listen no more."""
        self._stopped = True
        if self._running is not None:
            self._running.cancel()
        self._connection.close()

    async def _listen(self) -> None:
        while True:
            try:
                await self._connection.query("LISTEN copilot_jobs; LISTEN copilot_ended")
                break
            except (DatabaseAway, psycopg2.Error) as error:
                self.log.debug("Can't listen for now: {error}", error=error)
                await deferLater(self._reactor, RETRY)
        self._running = None
        # Whatever was announced while nobody listened.
        self._on_jobs("")

    def _lost(self) -> None:
        if not self._stopped and self._running is None:
            self.log.info("The listening connection is lost and will be made anew")
            self.start()

    def _notified(self, channel: str, payload: str) -> None:
        if channel == "copilot_jobs":
            self._on_jobs(payload)
        else:
            self._on_ended(payload)


def _cancelled(failure: Failure) -> None:
    failure.trap(CancelledError)
