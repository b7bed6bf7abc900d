"""LISTEN: notifications of new work and of ended attempts. A hint only: what is missed is found by a slow poll."""

from collections.abc import Callable, Mapping

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

    *channels*: what is called with the payloads of each channel's notifications. *on_reconnect* is called when the
    connection listens again, after notifications may have been missed.
    """

    log = Logger()

    def __init__(
        self,
        connection: Connection,
        reactor: IReactorTime,
        channels: Mapping[str, Callable[[str], None]],
        on_reconnect: Callable[[], None],
    ) -> None:
        self._connection = connection
        connection.on_notify = self._notified
        connection.on_lost = self._lost
        self._reactor = reactor
        self._channels = channels
        self._on_reconnect = on_reconnect
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
                await self._connection.query("; ".join(f"LISTEN {channel}" for channel in self._channels))
                break
            except DATABASE_ERRORS as error:
                self.log.debug("LISTEN failed and will be repeated: {error}", error=error)
                await deferLater(self._reactor, RETRY)
        self._running = None
        # Notifications sent before the LISTEN were missed.
        self._on_reconnect()

    def _lost(self) -> None:
        if not self._stopped and self._running is None:
            self.log.info("The connection that listens for notifications is lost; reconnecting")
            self.start()

    def _notified(self, channel: str, payload: str) -> None:
        self._channels[channel](payload)


def _cancelled(failure: Failure) -> None:
    failure.trap(CancelledError)
