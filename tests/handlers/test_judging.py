"""When a node may take the jobs of other nodes' crawlers, on a clock that is moved by hand."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.reading_clock import ReadingClock
from copilot_socket.event_bus import EventBus
from copilot_socket.handlers.crawlers import Registry
from copilot_socket.handlers.presence import PresenceKeeper
from copilot_socket.store.faults import DatabaseAway

LEASE = 30.0


class FakeLeases:
    """Leases of a database that fails while ``away`` is set; records whether others' jobs were released."""

    lease, grace = LEASE, 15.0

    def __init__(self) -> None:
        self.away = False
        self.others: list[bool] = []

    async def renew(self, _live: object) -> None:
        """Renew, or fail."""
        if self.away:
            raise DatabaseAway("away")

    async def show(self, _states: object) -> None:
        """Do nothing."""

    async def release_lost(self, others: bool) -> int:
        """Record the argument."""
        self.others.append(others)
        return 0


class JudgingTests(SynchronousTestCase):
    """A node judges others only after its own renewals have worked for a whole lease."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.leases: Any = FakeLeases()
        nobody: Any = None
        self.keeper = PresenceKeeper(
            Registry(),
            nobody,
            self.leases,
            ReadingClock(1.0),
            self.clock,
            EventBus(),
            heartbeat_timeout=30.0,
            connection_timeout=30.0,
            reveal=lambda stored, _: stored,
            on_room=lambda: None,
        )

    def _renew_for(self, seconds: float) -> None:
        """Renew every third of a lease."""
        for _ in range(int(seconds / LEASE * 3)):
            self.clock.advance(LEASE / 3)
            self.successResultOf(Deferred.fromCoroutine(self.keeper.renew()))

    def _judges(self) -> bool:
        self.successResultOf(Deferred.fromCoroutine(self.keeper.release_lost()))
        return bool(self.leases.others[-1])

    def test_a_whole_lease(self) -> None:
        """Not earlier; after a failed renewal only after another whole lease."""
        self._renew_for(LEASE)
        self.assertFalse(self._judges())
        self._renew_for(LEASE)
        self.assertTrue(self._judges())
        self.leases.away = True
        self.failureResultOf(Deferred.fromCoroutine(self.keeper.renew()), DatabaseAway)
        self.assertFalse(self._judges())

    def test_suspended(self) -> None:
        """After a suspension longer than a lease the wait starts again: other nodes may have been suspended, too."""
        self._renew_for(2 * LEASE)
        self.clock.advance(3600.0)
        self.successResultOf(Deferred.fromCoroutine(self.keeper.renew()))
        self.assertFalse(self._judges())
        self._renew_for(LEASE)
        self.assertTrue(self._judges())
