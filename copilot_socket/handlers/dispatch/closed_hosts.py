"""Hosts from which nothing is dispatched: their accounts are parked."""

from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IReactorTime

from copilot_socket.core.scheduling import Scheduler
from copilot_socket.store.hosts import Hosts

ACCOUNTS = 10.0
"""Seconds after which the accounts of closed hosts are read again: there may be new ones."""


class ClosedHosts:
    """Parks the accounts of hosts in *scheduler* for each reason for which their host is closed.

    Calls *wake* when accounts are unparked.
    """

    def __init__(self, hosts: Hosts, scheduler: Scheduler, reactor: IReactorTime, wake: Callable[[], None]) -> None:
        self._hosts = hosts
        self._scheduler = scheduler
        self._reactor = reactor
        self._wake = wake
        self._closed: dict[str, frozenset[str]] = {}
        """Reason → the origins of the hosts."""
        self._accounts: dict[str, str] = {}
        self._parked: set[tuple[str, str]] = set()
        self._read: frozenset[str] = frozenset()
        """The hosts whose accounts have been read."""
        self._read_at = float("-inf")

    @property
    def accounts(self) -> Mapping[str, str]:
        """Account → origin, of closed hosts."""
        return self._accounts

    def closed(self, reason: str) -> frozenset[str]:
        """The hosts that are closed for *reason*."""
        return self._closed.get(reason, frozenset())

    async def close(self, reason: str, origins: frozenset[str]) -> None:
        """Close these hosts for *reason*, and no others any more. To be repeated while there are any."""
        self._closed[reason] = origins
        while self._stale(closed := frozenset[str]().union(*self._closed.values())):
            now = self._reactor.seconds()
            accounts = await self._hosts.accounts(list(closed))
            self._accounts, self._read, self._read_at = accounts, closed, now
        self._park()

    def _stale(self, closed: frozenset[str]) -> bool:
        return not closed <= self._read or (bool(closed) and self._reactor.seconds() - self._read_at > ACCOUNTS)

    def learn(self, account: str, origin: str) -> None:
        """*account* is at the closed host *origin*."""
        self._accounts[account] = origin
        self._park()

    def _park(self) -> None:
        wanted = {
            (account, reason)
            for account, origin in self._accounts.items()
            for reason, origins in self._closed.items()
            if origin in origins
        }
        for account, reason in wanted - self._parked:
            self._scheduler.park(account, reason)
        released = self._parked - wanted
        for account, reason in released:
            self._scheduler.unpark(account, reason)
        self._parked = wanted
        if released:
            self._wake()
