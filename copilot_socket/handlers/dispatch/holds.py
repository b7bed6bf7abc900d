"""Hosts that are held back: their accounts take no part in dispatch, but for one probe at a time."""

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from copilot_socket.core.host_holds import PROBE_PATIENCE, probed
from copilot_socket.core.scheduling import Scheduler
from copilot_socket.event_bus import EventBus, HostChanged
from copilot_socket.handlers.dispatch.closed import Closed
from copilot_socket.handlers.dispatch.requests import Requests
from copilot_socket.handlers.dispatch.schedule import ignore_outage
from copilot_socket.store.hosts import Hosts

REASON = "host hold"
RELEASED = 60.0
"""Seconds for which waiting jobs of released hosts are looked for."""


class HostHolds:
    """Closes held hosts with *closed*, and sends probes for *requests*. *wake* as jobs come up."""

    log = Logger()

    def __init__(
        self,
        hosts: Hosts,
        closed: Closed,
        scheduler: Scheduler,
        requests: Requests,
        reactor: IReactorTime,
        bus: EventBus,
        wake: Callable[[], None],
    ) -> None:
        self._hosts = hosts
        self._closed = closed
        self._scheduler = scheduler
        self._requests = requests
        self._reactor = reactor
        self._bus = bus
        self._wake = wake
        self._probed: dict[str, float] = {}
        """When accounts last sent a probe, in reactor seconds."""
        self._allowed: dict[str, str] = {}
        """Origin → the account that may send the next probe."""
        self._released_at = float("-inf")

    @property
    def held(self) -> frozenset[str]:
        """The origins of the hosts that are held back."""
        return self._closed.hosts(REASON)

    @property
    def subscriptions(self) -> Mapping[type, Callable[[Any], None]]:
        """What this node decides is carried out at once."""
        return {HostChanged: self._changed}

    def _changed(self, _changed: HostChanged) -> None:
        d = Deferred.fromCoroutine(self.look())
        d.addErrback(ignore_outage)
        d.addErrback(lambda failure: self.log.failure("Reading held hosts failed", failure))

    async def look(self) -> None:
        """Carry out what is stored of hosts; to be called every second."""
        if self.held:
            for origin in await self._hosts.reached():
                self._bus.publish(HostChanged(origin, "released"))
        held = await self._hosts.held()
        now = self._reactor.seconds()
        if self.held - held.keys():
            self._released_at = now
        await self._closed.close(REASON, frozenset(held))
        for account in self._probed.keys() - self._closed.accounts.keys():
            del self._probed[account]
        for origin, account in list(self._allowed.items()):
            if now - self._probed.get(account, 0.0) > PROBE_PATIENCE:  # another node may send the probe now
                self._scheduler.disallow(self._allowed.pop(origin))
        for origin, may_be_probed in held.items():
            if may_be_probed:
                await self._probe(origin)
        if now - self._released_at < RELEASED:
            await self._hosts.spread_waiting()

    async def _probe(self, origin: str) -> None:
        """Let one job of the account go out whose last probe is longest ago, if a crawler waits for it."""
        if origin in self._allowed:  # nobody has used it in time
            self._scheduler.disallow(self._allowed.pop(origin))
        wanted = {account for commands in self._requests.groups for account in self._scheduler.accounts(commands)}
        candidates = {
            account: self._probed.get(account, 0.0)
            for account, its in self._closed.accounts.items()
            if its == origin and account in wanted and self._scheduler.parked_only(account, REASON)
        }
        account = probed(candidates)
        if account is not None and await self._hosts.take_probe(origin):
            self._probed[account] = self._reactor.seconds()
            if self._scheduler.allow(account, REASON):
                self._allowed[origin] = account
                self._wake()
