"""txpostgres' connection, but results are told in the turn of the reactor that reads them.

txpostgres takes a connection out of the reactor's set of readers and puts it back at each step of a statement, and
tells a result or a notification in a later turn. Those are four system calls and a turn for each statement: a tenth
of what a small batch takes.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_WRITE
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from txpostgres import txpostgres


class _Cursor(txpostgres.Cursor):  # type: ignore[misc]
    """Leaves waiting to its connection, which reads all the time."""

    _pollingD: Deferred[Any] | None

    def continuePolling(self, swallowErrors: bool = False) -> None:
        """Move the statement on, outside of a read; an end that is known already is told in the next turn.

        Statements that follow each other and are all answered at once would otherwise pile up on the stack.
        """
        self._move_on(at_once=False)

    def arrived(self) -> None:
        """Move the statement on by what has arrived, and tell its end at once."""
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


class PromptConnection(txpostgres.Connection):  # type: ignore[misc]
    """A connection that is lost while idle is told to *on_lost*, and not logged as a crash.

    *on_notify* is called with the channel and payload of each notification.
    """

    log = Logger()
    cursorFactory = _Cursor

    def __init__(
        self,
        reactor: IReactorTime,
        on_lost: Callable[[], None],
        on_notify: Callable[[str, str], None] | None = None,
    ) -> None:
        super().__init__(reactor)
        self._on_lost = on_lost
        self._on_notify = on_notify
        self._at_work: _Cursor | None = None
        self._descriptor: int | None = None

    def fileno(self) -> int:
        """What the reactor watches: once connected a descriptor of our own, since libpq closes its at any time."""
        if self._pollingD is not None:
            return int(super().fileno())
        if self._descriptor is None and not self._connection.closed:
            self._descriptor = os.dup(self._connection.fileno())
        return -1 if self._descriptor is None else self._descriptor

    def close(self) -> None:
        """Close the connection, if that has not happened by itself, and forget it."""
        super().close()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

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
        # While the connection is made, its socket may change from step to step: here txpostgres' way is needed.
        try:
            super().doRead()
        except psycopg2.Error:
            self._on_lost()

    def doWrite(self) -> None:
        """There is room for the rest of a statement."""
        self.reactor.removeWriter(self)
        if self._at_work is not None:
            self._at_work.arrived()
        elif not self._connection.closed:
            self.continuePolling()

    def checkForNotifies(self) -> None:
        """Hand over what was announced."""
        notes, self._connection.notifies[:] = self._connection.notifies[:], []
        if self._on_notify is not None:
            for note in notes:
                with self.log.failureHandler("Dealing with a notification failed"):
                    self._on_notify(note.channel, note.payload)

    def connectionLost(self, reason: Any) -> None:
        """The reactor, or whoever closes the connection, says that it is over."""
        if self._at_work is not None:
            self._at_work.connectionLost(reason)
        with suppress(psycopg2.Error):
            super().connectionLost(reason)
        self._on_lost()
