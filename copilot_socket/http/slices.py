"""Long work in slices: one slice in each turn of the reactor, over all requests, so that others run in between."""

from collections import deque

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime


class Slices:
    """Schedules slices, one in each turn of the reactor, first come, first served."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._waiting: deque[Deferred[None]] = deque()

    def next(self) -> "Deferred[None]":
        """A Deferred that fires in a later turn of the reactor, in which no other one fires."""
        d: Deferred[None] = Deferred()
        self._waiting.append(d)
        if len(self._waiting) == 1:
            self._reactor.callLater(0, self._fire)
        return d

    def _fire(self) -> None:
        d = self._waiting.popleft()
        if self._waiting:
            self._reactor.callLater(0, self._fire)
        d.callback(None)
