"""Bytes out: what one connection is sent in one turn of the reactor goes in one write."""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime


class Turn:
    """Calls back everyone who asks, once, after the present turn of the reactor; one timer for all of them."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._callbacks: list[Callable[[], None]] = []

    def end(self, callback: Callable[[], None]) -> None:
        """Call *callback* when the turn is over."""
        if not self._callbacks:
            self._reactor.callLater(0, self._over)
        self._callbacks.append(callback)

    def _over(self) -> None:
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()
