"""LISTEN: notifications of new work and of ended attempts. A hint only: what is missed is found by a slow poll."""

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.store.connection import Connection
from copilot_socket.store.faults import DATABASE_ERRORS

RETRY = 0.5
"""Seconds before a failed LISTEN is repeated."""


class Listener:
    """Keeps *connection* listening, and reconnects whenever it is lost.

    *on_jobs* is called with the payload of each notification of lanes that have work (JSON), and with an empty string
    after a reconnect, when any lane may have work. *on_ended* is called with the id of each ended assignment,
    *on_credential* with an account and whether its credential works, as JSON, when that has changed.
    """

    log = Logger()

    def __init__(
        self,
        connection: Connection,
        reactor: IReactorTime,
        *,
        on_jobs: Callable[[str], None],
        on_ended: Callable[[str], None],
        on_credential: Callable[[str], None],
    ) -> None:
        self._connection = connection
        connection.on_notify = self._notified
        connection.on_lost = self._lost
        self._reactor = reactor
        self._on_jobs = on_jobs
        self._by_channel = {
            "copilot_jobs": on_jobs,
            "copilot_ended": on_ended,
            "copilot_credentials": on_credential,
        }
        self._running: Deferred[None] | None = None
        self._stopped = False

    def start(self) -> "Deferred[None]":
        """Start to listen; fires once the LISTEN has succeeded, however often that is tried."""
        self._running = Deferred.fromCoroutine(self._listen())
        self._running.addErrback(_cancelled)
        return self._running

    def stop(self) -> None:
        """Stop listening and close the connection."""
        self._stopped = True
        if self._running is not None:
            self._running.cancel()
        self._connection.close()

    async def _listen(self) -> None:
        while True:
            try:
                await self._connection.query("; ".join(f"LISTEN {channel}" for channel in self._by_channel))
                break
            except DATABASE_ERRORS as error:
                self.log.debug("LISTEN failed and will be repeated: {error}", error=error)
                await deferLater(self._reactor, RETRY)
        self._running = None
        # Notifications sent before the LISTEN were missed.
        self._on_jobs("")

    def _lost(self) -> None:
        if not self._stopped and self._running is None:
            self.log.info("The connection that listens for notifications is lost; reconnecting")
            self.start()

    def _notified(self, channel: str, payload: str) -> None:
        self._by_channel[channel](payload)


def _cancelled(failure: Failure) -> None:
    failure.trap(CancelledError)
