"""Snapshots of live events: read once for all streams that ask."""

from collections.abc import Callable
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.live_events import Position
from copilot_socket.http.events import Scope
from copilot_socket.http.snapshots import FRESH, Snapshot, Snapshots
from copilot_socket.store.listing import Listing

ANN = Scope(user_id="ann")


@attrs.frozen
class FakeOverviews:
    """An overview; *counted* is told of statistics that were read."""

    counted: Callable[[Any], None]

    async def read(self) -> Any:
        """See :class:`.Overviews`."""
        return {"attention": []}


class SnapshotTests(SynchronousTestCase):
    """What is read, and when."""

    def setUp(self) -> None:
        """Have what it reads from."""
        self.clock, self.number = Clock(), 7
        self.reads: list[Any] = []
        self.waiting: Deferred[None] | None = None
        self.crawlers = self
        self.counted: list[Any] = []
        overviews = cast(Any, FakeOverviews(self.counted.append))
        self.snapshots = Snapshots(cast(Any, self), cast(Any, self), overviews, self.clock)

    async def last(self) -> Position:
        """As the reader of events."""
        return Position(self.number)

    async def stats(self) -> Any:
        """As the catalogue."""
        self.reads.append(None)
        if self.waiting is not None:
            await self.waiting
        return {"jobs": {"queued": 3}, "queue": {"ready": 2}, "crawlers": {}}

    async def stats_of(self, account: str | None, user: str | None) -> Any:
        """As the catalogue."""
        self.reads.append((account, user))
        return {"jobs": {"queued": 1}}

    async def page(self, _page: object, _filters: object) -> Listing:
        """As the list of crawlers."""
        return Listing([{"id": "c1"}], None)

    def read(self, scope: Scope = Scope(), least: int = 0) -> "Deferred[Snapshot]":  # noqa: B008 - is immutable
        """Ask for one."""
        return Deferred.fromCoroutine(self.snapshots.snapshot(scope, Position(least)))

    def test_kept(self) -> None:
        """It serves others for a second, unless they need a later one."""
        first = self.successResultOf(self.read())
        expected = {
            "counts": {"queued": 3},
            "queue": {"ready": 2},
            "crawlers": [{"id": "c1"}],
            "overview": {"attention": []},
        }
        self.assertEqual(self.counted, [{"jobs": {"queued": 3}, "queue": {"ready": 2}, "crawlers": {}}])
        self.assertEqual((first.position, first.data), (Position(7), expected))
        self.number = 9
        self.assertIs(self.successResultOf(self.read(least=7)), first)
        self.assertEqual(self.successResultOf(self.read(least=8)).position, Position(9))
        self.assertEqual(len(self.reads), 2)
        self.clock.advance(FRESH)
        self.number = 10
        self.assertEqual(self.successResultOf(self.read()).position, Position(10))

    def test_scopes(self) -> None:
        """Each has its own; only that of everything has queue, crawlers and an overview."""
        self.successResultOf(self.read())
        self.assertEqual(self.successResultOf(self.read(ANN)).data, {"counts": {"queued": 1}})
        self.assertEqual(self.reads, [None, (None, "ann")])

    def test_together(self) -> None:
        """Who asks while it is being read waits for that, and reads again only if it is too old."""
        self.waiting = Deferred()
        waiting = [self.read() for _ in range(5)]
        self.number = 8
        late = self.read(least=8)
        for d in (*waiting, late):
            self.assertNoResult(d)
        self.waiting.callback(None)
        self.waiting = None
        self.assertLessEqual({self.successResultOf(d).position for d in waiting}, {Position(7), Position(8)})
        self.assertEqual(self.successResultOf(late).position, Position(8))
        self.assertEqual(len(self.reads), 2)

    def test_failure(self) -> None:
        """It fails for who reads it; others try again."""
        self.waiting = Deferred()
        first, second = self.read(), self.read()
        failing, self.waiting = self.waiting, None
        failing.errback(RuntimeError("away"))
        self.failureResultOf(first, RuntimeError)
        self.assertEqual(self.successResultOf(second).position, Position(7))
