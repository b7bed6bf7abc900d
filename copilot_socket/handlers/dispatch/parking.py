"""Parked accounts: left out of dispatch for a time, since their tokens can't be refreshed."""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from copilot_socket.core.scheduling import Scheduler

REASON = "token"
MOST = 10.0
"""Seconds that an account is parked at most: its token may be renewed by hand."""


class Parking:
    """Parks accounts in *scheduler*; calls *wake* when one is unparked."""

    def __init__(self, scheduler: Scheduler, reactor: IReactorTime, wake: Callable[[], None]) -> None:
        self._scheduler = scheduler
        self._reactor = reactor
        self._wake = wake
        self._timers: dict[str, IDelayedCall] = {}
        self._stopped = False

    @property
    def accounts(self) -> frozenset[str]:
        """The parked accounts."""
        return frozenset(self._timers)

    def park(self, account: str, seconds: float) -> None:
        """Park *account* for *seconds*, at most :data:`MOST`."""
        if not self._stopped and account not in self._timers:
            self._scheduler.park(account, REASON)
            self._timers[account] = self._reactor.callLater(min(seconds, MOST), self._unpark, account)

    def stop(self) -> None:
        """Set no more timers."""
        self._stopped = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _unpark(self, account: str) -> None:
        del self._timers[account]
        self._scheduler.unpark(account, REASON)
        self._wake()
