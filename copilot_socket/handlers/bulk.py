"""Carries out bulk operations without getting in the way of crawlers (docs/http.md, "Bulk operations")."""

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from copilot_socket.core.bulk import Pace
from copilot_socket.store.bulk import BulkOperations

EACH = 0.5
"""Seconds between looks for operations."""
ROUND = 10.0
"""Seconds of work, after which the next round follows."""


class BulkRunner:
    """Runs slice after slice, each as large as the time for which it may hold locks allows."""

    def __init__(self, operations: BulkOperations, reactor: IReactorTime) -> None:
        self._operations = operations
        self._reactor = reactor
        self._pace = Pace()

    async def run(self) -> None:
        """Carry out slices until nothing is left to do, for :data:`ROUND` at most."""
        end = self._reactor.seconds() + ROUND
        while self._reactor.seconds() < end:
            took = await self._operations.run_slice(self._pace.size)
            if took is None:
                return
            await deferLater(self._reactor, self._pace.rest(took))
