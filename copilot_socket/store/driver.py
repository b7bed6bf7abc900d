"""The database driver: connections of txpostgres, changed where those block the reactor or lose errors.

- A result is delivered in the turn of the reactor that reads it. txpostgres removes a connection from the reactor's
  readers and adds it again at each step, and delivers results in a later turn: four system calls and a turn for each
  statement, a tenth of the time of a small batch.
- Cancelling a statement closes its connection. txpostgres would have libpq cancel it, which blocks, and leave the
  connection unusable.
- While connecting, each step watches a duplicate of the descriptor: libpq may close and open sockets at any step.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE, TRANSACTION_STATUS_IDLE
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from txpostgres import txpostgres
from zope.interface import implementer


class _Cursor(txpostgres.Cursor):  # type: ignore[misc]
    """A cursor that leaves waiting to its connection, which the reactor watches all the time."""

    _pollingD: Deferred[Any] | None

    def continuePolling(self, swallowErrors: bool = False) -> None:
        """Advance the statement outside of a read; a result that is there already is delivered in the next turn.

        Otherwise statements that follow each other, each answered immediately, would recurse.
        """
        self._advance(same_turn=False)

    def arrived(self) -> None:
        """Advance the statement after a read, and deliver its result in this turn."""
        self._advance(same_turn=True)

    def _advance(self, same_turn: bool) -> None:
        try:
            state = self.pollable().poll()
        except Exception as error:
            self._end("errback", error, same_turn)
        else:
            if state == POLL_OK:
                self._end("callback", self, same_turn)
            elif state == POLL_WRITE:
                self.reactor.addWriter(self._connection)

    def _end(self, how: str, what: Any, same_turn: bool) -> None:
        d, self._pollingD = self._pollingD, None
        if d is None:
            return
        if same_turn:
            getattr(d, how)(what)
        else:
            self.reactor.callLater(0, getattr(d, how), what)

    def _cancel(self, _d: Deferred[Any]) -> None:
        self._pollingD = None  # this Deferred fails with CancelledError
        self._connection.close()

    def _handleCancellation(self, failure: Failure) -> Failure:
        """Keep the error of a statement that PostgreSQL has ended; txpostgres would make it a CancelledError."""
        return failure


class DriverConnection(txpostgres.Connection):  # type: ignore[misc]
    """One connection. *on_lost* is called when it is lost, whether idle or not; it can't be used again.

    *on_notify* is called with the channel and payload of each notification.
    """

    log = Logger()
    cursorFactory = _Cursor
    _pollingD: Deferred[Any] | None

    def __init__(
        self,
        reactor: Any,
        on_lost: Callable[[], None],
        on_notify: Callable[[str, str], None] | None = None,
    ) -> None:
        super().__init__(reactor)
        self._on_lost = on_lost
        self._on_notify = on_notify
        self._at_work: _Cursor | None = None
        self._step: _Step | None = None
        self._descriptor: int | None = None

    @property
    def usable(self) -> bool:
        """Whether the next statement may be sent: connected, outside a transaction, and no statement in progress."""
        live = self._connection
        return not live.closed and not live.isexecuting() and live.info.transaction_status == TRANSACTION_STATUS_IDLE

    # -- connecting

    def continuePolling(self, swallowErrors: bool = False) -> None:
        """Take the next step of connecting."""
        self._step = None
        try:
            state = self._connection.poll()
        except psycopg2.Error as error:
            self._end_connecting("errback", error)
            return
        if state == POLL_OK:
            self._descriptor = os.dup(self._connection.fileno())
            self._end_connecting("callback", self)
        else:
            self._step = _Step(self.reactor, self._connection.fileno(), state, self.continuePolling)

    def _end_connecting(self, how: str, what: Any) -> None:
        # In a later turn, unless the connection is closed before.
        self.reactor.callLater(0, self._connecting_ended, how, what)

    def _connecting_ended(self, how: str, what: Any) -> None:
        d, self._pollingD = self._pollingD, None
        if d is not None:
            getattr(d, how)(what)

    def _cancel(self, _d: Deferred[Any]) -> None:
        self._pollingD = None
        self.close()

    def _handleCancellation(self, failure: Failure) -> Failure:
        return failure

    # -- connected

    def fileno(self) -> int:
        """A duplicate of the descriptor, which libpq may close at any time; -1 when there is none."""
        return -1 if self._descriptor is None else self._descriptor

    def close(self) -> None:
        """Close the connection immediately; Deferreds that wait for a result fail with ``ConnectionDone``."""
        if self._step is not None:
            self._step.stop()
        if self._descriptor is not None:
            self.reactor.removeReader(self)
            self.reactor.removeWriter(self)
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)
        if self._connection is not None and not self._connection.closed:
            with suppress(psycopg2.Error):
                self._connection.close()
        waiting = [self, *self._cursors]
        self._cursors.clear()
        for each in waiting:
            d, each._pollingD = each._pollingD, None
            if d is not None:
                d.errback(ConnectionDone())

    def cursorRunning(self, cursor: _Cursor) -> None:
        """Called by *cursor*, whose statement is sent: the next result is its own."""
        self._cursors.add(cursor)
        self._at_work = cursor

    def cursorFinished(self, cursor: _Cursor) -> None:
        """Called by *cursor*, whose statement has ended."""
        self._cursors.discard(cursor)
        self._at_work = None
        if not self._connection.closed:
            self.checkForNotifies()

    def doRead(self) -> None:
        """See :class:`twisted.internet.interfaces.IReadDescriptor`."""
        if self._at_work is not None:
            self._at_work.arrived()
            return
        try:
            self._connection.poll()
        except psycopg2.Error:
            self._on_lost()
        else:
            self.checkForNotifies()

    def doWrite(self) -> None:
        """Send the rest of a statement."""
        self.reactor.removeWriter(self)
        if self._at_work is not None:
            self._at_work.arrived()

    def checkForNotifies(self) -> None:
        """Call *on_notify* with each notification received."""
        notes, self._connection.notifies[:] = self._connection.notifies[:], []
        if self._on_notify is not None:
            for note in notes:
                with self.log.failureHandler("Handling a notification failed"):
                    self._on_notify(note.channel, note.payload)

    def connectionLost(self, reason: Any) -> None:
        """Called by the reactor when the server has closed the connection."""
        if self._at_work is not None:
            self._at_work.continuePolling()  # reads the error that PostgreSQL may have sent
        self._on_lost()


@implementer(IReadDescriptor, IWriteDescriptor)
class _Step:
    """Waits once for the socket of a connection that is being made, on a duplicate of its descriptor."""

    def __init__(self, reactor: Any, descriptor: int, state: int, then: Callable[[], None]) -> None:
        self._reactor = reactor
        self._descriptor: int | None = os.dup(descriptor)
        self._then = then
        if state == POLL_READ:
            reactor.addReader(self)
        else:
            reactor.addWriter(self)

    def fileno(self) -> int:
        """The duplicate."""
        return -1 if self._descriptor is None else self._descriptor

    def logPrefix(self) -> str:
        """See :class:`twisted.internet.interfaces.ILoggingContext`."""
        return "connection"

    def stop(self) -> None:
        """Stop waiting."""
        if self._descriptor is not None:
            self._reactor.removeReader(self)
            self._reactor.removeWriter(self)
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def doRead(self) -> None:
        """Take the next step: the socket is ready."""
        self.stop()
        self._then()

    doWrite = doRead

    def connectionLost(self, reason: Any) -> None:
        """Take the next step, in which libpq reports why the server has closed the connection."""
        self.doRead()
