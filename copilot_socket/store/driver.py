"""The database driver: txpostgres' connection, without what would stall or mislead the node.

- A result is handed on in the turn of the reactor that reads it. txpostgres takes a connection out of the reactor's
  readers and puts it back at each step, and hands on results in a later turn: four system calls and a turn for each
  statement, a tenth of what a small batch takes.
- Cancelling a statement closes its connection. txpostgres would ask libpq to cancel it, which blocks, and leave the
  connection unusable.
- While a connection is made, each step watches a descriptor of its own: libpq closes and opens sockets as it likes.
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
    """Leaves waiting to its connection, which is watched all the time."""

    _pollingD: Deferred[Any] | None

    def continuePolling(self, swallowErrors: bool = False) -> None:
        """Move the statement on, outside of a read; a result that is known already is handed on in the next turn.

        Statements that follow each other and are all answered at once would otherwise pile up on the stack.
        """
        self._move_on(at_once=False)

    def arrived(self) -> None:
        """Move the statement on by what has arrived, and hand on its result at once."""
        self._move_on(at_once=True)

    def _move_on(self, at_once: bool) -> None:
        try:
            state = self.pollable().poll()
        except Exception as error:
            self._end("errback", error, at_once)
        else:
            if state == POLL_OK:
                self._end("callback", self, at_once)
            elif state == POLL_WRITE:
                self.reactor.addWriter(self._connection)

    def _end(self, how: str, what: Any, at_once: bool) -> None:
        d, self._pollingD = self._pollingD, None
        if d is None:
            return
        if at_once:
            getattr(d, how)(what)
        else:
            self.reactor.callLater(0, getattr(d, how), what)

    def _cancel(self, _d: Deferred[Any]) -> None:
        self._pollingD = None  # it gets CancelledError
        self._connection.close()

    def _handleCancellation(self, failure: Failure) -> Failure:
        """A statement that PostgreSQL ended (statement_timeout) is its error, not a cancelled Deferred."""
        return failure


class DriverConnection(txpostgres.Connection):  # type: ignore[misc]
    """One connection. *on_lost* is called when it is lost, whether idle or not; after that it is of no use.

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
        """Whether the next statement may be sent: connected, outside a transaction, and none under way."""
        live = self._connection
        return not live.closed and not live.isexecuting() and live.info.transaction_status == TRANSACTION_STATUS_IDLE

    # -- connecting

    def continuePolling(self, swallowErrors: bool = False) -> None:
        """The next step of being connected."""
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
        # In a turn of its own. Whoever closes the connection before that ends it.
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
        """A descriptor of our own, since libpq closes its at any time; -1 when there is none."""
        return -1 if self._descriptor is None else self._descriptor

    def close(self) -> None:
        """Close the connection at once, whatever is under way; whoever waits for a result gets ``ConnectionDone``."""
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
        """From now on what arrives is the result of *cursor*'s statement."""
        self._cursors.add(cursor)
        self._at_work = cursor

    def cursorFinished(self, cursor: _Cursor) -> None:
        """The statement is over."""
        self._cursors.discard(cursor)
        self._at_work = None
        if not self._connection.closed:
            self.checkForNotifies()

    def doRead(self) -> None:
        """Something has arrived."""
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
        """There is room for the rest of a statement."""
        self.reactor.removeWriter(self)
        if self._at_work is not None:
            self._at_work.arrived()

    def checkForNotifies(self) -> None:
        """Hand over what was announced."""
        notes, self._connection.notifies[:] = self._connection.notifies[:], []
        if self._on_notify is not None:
            for note in notes:
                with self.log.failureHandler("Dealing with a notification failed"):
                    self._on_notify(note.channel, note.payload)

    def connectionLost(self, reason: Any) -> None:
        """The reactor finds that the other end has hung up."""
        if self._at_work is not None:
            self._at_work.continuePolling()  # for the error that PostgreSQL may have sent
        self._on_lost()


@implementer(IReadDescriptor, IWriteDescriptor)
class _Step:
    """Waits once for the socket of a connection that is being made, by a duplicate of its descriptor."""

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
        """Wait no more."""
        if self._descriptor is not None:
            self._reactor.removeReader(self)
            self._reactor.removeWriter(self)
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def doRead(self) -> None:
        """It is ready."""
        self.stop()
        self._then()

    doWrite = doRead

    def connectionLost(self, reason: Any) -> None:
        """It has hung up: libpq says why."""
        self.doRead()
