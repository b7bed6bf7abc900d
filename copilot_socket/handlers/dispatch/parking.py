"""Parked accounts: left out of dispatch while their tokens are being refreshed, can't be, or were refused."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from copilot_socket.core.scheduling import Scheduler

UNAVAILABLE, REFRESH, CREDENTIAL = "token unavailable", "token refresh", "credential"
"""The reasons."""
MOST = 10.0
"""Seconds that an account is parked at most whose token is unavailable: it may be renewed by hand."""


class Parking:
    """Parks accounts in *scheduler*; calls *wake* when one is unparked."""

    def __init__(self, scheduler: Scheduler, reactor: IReactorTime, wake: Callable[[], None]) -> None:
        self._scheduler = scheduler
        self._reactor = reactor
        self._wake = wake
        self._timers: dict[str, IDelayedCall] = {}
        self._refreshes: Counter[str] = Counter()
        self._invalid: set[str] = set()
        self.changes = 0
        """How often the state of a credential has been set."""
        self._stopped = False

    @property
    def accounts(self) -> frozenset[str]:
        """The accounts whose tokens are unavailable for now."""
        return frozenset(self._timers)

    @property
    def invalid(self) -> frozenset[str]:
        """The accounts that wait for a new credential."""
        return frozenset(self._invalid)

    def park(self, account: str, seconds: float) -> None:
        """Park *account* for *seconds*, at most :data:`MOST`."""
        if not self._stopped and account not in self._timers:
            self._scheduler.park(account, UNAVAILABLE)
            self._timers[account] = self._reactor.callLater(min(seconds, MOST), self._unpark, account)

    @contextmanager
    def during_refresh(self, account: str) -> Iterator[None]:
        """Park *account* within the context: one refresh decides on all its jobs."""
        self._refreshes[account] += 1
        self._scheduler.park(account, REFRESH)
        try:
            yield
        finally:
            self._refreshes[account] -= 1
            if not self._refreshes[account]:
                del self._refreshes[account]
                self._scheduler.unpark(account, REFRESH)
                self._wake()

    def credential(self, account: str, *, valid: bool) -> None:
        """Park *account* until its credential works again, or let it go."""
        self.changes += 1
        if valid and account in self._invalid:
            self._invalid.discard(account)
            self._scheduler.unpark(account, CREDENTIAL)
            self._wake()
        elif not valid and account not in self._invalid:
            self._invalid.add(account)
            self._scheduler.park(account, CREDENTIAL)

    def stop(self) -> None:
        """Set no more timers."""
        self._stopped = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _unpark(self, account: str) -> None:
        del self._timers[account]
        self._scheduler.unpark(account, UNAVAILABLE)
        self._wake()
