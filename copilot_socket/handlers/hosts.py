"""Which GitLabs have work done for them: when jobs of each host last succeeded, for all nodes to see."""

from collections.abc import Callable, Mapping
from typing import Any

from copilot_socket.core.jobs import Status
from copilot_socket.event_bus import EventBus, HostChanged, JobsReported
from copilot_socket.store.faults import DATABASE_ERRORS
from copilot_socket.store.hosts import Hosts


class HostHealth:
    """Collects the accounts whose jobs are completed here, and stores them once a second."""

    def __init__(self, hosts: Hosts, bus: EventBus) -> None:
        self._hosts = hosts
        self._bus = bus
        self._succeeded: set[str] = set()

    @property
    def subscriptions(self) -> Mapping[type, Callable[[Any], None]]:
        """Completed jobs."""
        return {JobsReported: self._reported}

    def _reported(self, reported: JobsReported) -> None:
        if reported.status == Status.COMPLETED:
            self._succeeded.update(account for _assignment, _crawler, account in reported.attempts)

    async def store(self) -> None:
        """Store what has succeeded since the last call."""
        succeeded, self._succeeded = self._succeeded, set()
        if succeeded:
            try:
                released = await self._hosts.succeeded(sorted(succeeded))
            except DATABASE_ERRORS:
                self._succeeded |= succeeded
                raise
            for origin in released:
                self._bus.publish(HostChanged(origin, "released"))
