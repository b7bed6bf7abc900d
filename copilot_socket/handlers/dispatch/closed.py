"""Accounts and hosts from which nothing is dispatched, each for one reason or several."""

from collections.abc import Callable, Mapping

from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime

from copilot_socket.core.scheduling import Scheduler
from copilot_socket.store.hosts import Hosts

ACCOUNTS = 10.0
"""Seconds after which the accounts of closed hosts are read again: there may be new ones."""
_NOTHING: frozenset[str] = frozenset()


class Closed:
    """Parks accounts in *scheduler* for each reason for which they, or their hosts, are closed.

    Calls *wake* when accounts are unparked.
    """

    def __init__(self, hosts: Hosts, scheduler: Scheduler, reactor: IReactorTime, wake: Callable[[], None]) -> None:
        self._hosts = hosts
        self._scheduler = scheduler
        self._reactor = reactor
        self._wake = wake
        self._closed: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
        """Reason → the origins of the hosts, and the accounts."""
        self._accounts: dict[str, str] = {}
        self._parked: set[tuple[str, str]] = set()
        self._read = _NOTHING
        """The hosts whose accounts have been read."""
        self._read_at = float("-inf")
        self._one_at_a_time = DeferredLock()

    @property
    def accounts(self) -> Mapping[str, str]:
        """Account → origin, of closed hosts."""
        return self._accounts

    def hosts(self, reason: str) -> frozenset[str]:
        """The origins of the hosts that are closed for *reason*."""
        return self._closed.get(reason, (_NOTHING, _NOTHING))[0]

    async def close(self, reason: str, hosts: frozenset[str], accounts: frozenset[str] = _NOTHING) -> None:
        """Close these for *reason*, and no others any more. To be repeated while hosts are closed."""
        await self._one_at_a_time.acquire()
        try:
            self._closed[reason] = hosts, accounts
            closed = _NOTHING.union(*(each for each, _ in self._closed.values()))
            now = self._reactor.seconds()
            if not closed <= self._read or (closed and now - self._read_at > ACCOUNTS):
                self._accounts = await self._hosts.accounts(list(closed))
                self._read, self._read_at = closed, now
            self._park()
        finally:
            self._one_at_a_time.release()

    def learn(self, account: str, origin: str) -> None:
        """*account* is at the host *origin*, which may be closed."""
        if any(origin in hosts for hosts, _ in self._closed.values()) and self._accounts.get(account) != origin:
            self._accounts[account] = origin
            self._park()

    def _park(self) -> None:
        wanted = {(account, reason) for reason, (_, accounts) in self._closed.items() for account in accounts}
        wanted |= {
            (account, reason)
            for account, origin in self._accounts.items()
            for reason, (hosts, _) in self._closed.items()
            if origin in hosts
        }
        for account, reason in wanted - self._parked:
            self._scheduler.park(account, reason)
        released = self._parked - wanted
        for account, reason in released:
            self._scheduler.unpark(account, reason)
        self._parked = wanted
        if released:
            self._wake()
