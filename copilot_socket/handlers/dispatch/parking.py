"""Accounts that take no part in dispatch for a moment: their tokens can't be renewed for now."""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from copilot_socket.core.scheduling import Scheduler

MOST = 10.0
"""Seconds that an account is left out at the most: its token may be renewed by hand."""


class Parking:
    """Parks accounts with *scheduler*. *wake* is called when one takes part again."""

    def __init__(self, scheduler: Scheduler, reactor: IReactorTime, wake: Callable[[], None]) -> None:
        self._scheduler = scheduler
        self._reactor = reactor
        self._wake = wake
        self._timers: dict[str, IDelayedCall] = {}
        self._stopped = False

    @property
    def accounts(self) -> frozenset[str]:
        """Those that are parked."""
        return frozenset(self._timers)

    def park(self, account: str, seconds: float) -> None:
        """Plan nothing of *account* for so long, :data:`MOST` at the most."""
        if not self._stopped and account not in self._timers:
            self._scheduler.park(account)
            self._timers[account] = self._reactor.callLater(min(seconds, MOST), self._unpark, account)

    def stop(self) -> None:
        """Set no more timers."""
        self._stopped = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _unpark(self, account: str) -> None:
        del self._timers[account]
        self._scheduler.unpark(account)
        self._wake()
