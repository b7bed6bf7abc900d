"""Long work in slices: one slice in a reactor turn, whichever request it is for, and everybody else in between."""

from collections import deque

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime


class Slices:
    """Hands out reactor turns, in the order in which they are asked for."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._waiting: deque[Deferred[None]] = deque()

    def next(self) -> "Deferred[None]":
        """Fires in a later turn of the reactor, in which it fires for nobody else."""
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
