"""Bytes out: what one connection is sent in one turn of the reactor goes in one write."""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime


class Flusher:
    """Has everyone who asks flushed, once, after the present turn of the reactor; one timer for all of them."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._flushes: list[Callable[[], None]] = []

    def soon(self, flush: Callable[[], None]) -> None:
        """Call *flush* when the turn is over."""
        if not self._flushes:
            self._reactor.callLater(0, self._run)
        self._flushes.append(flush)

    def _run(self) -> None:
        flushes, self._flushes = self._flushes, []
        for flush in flushes:
            flush()
