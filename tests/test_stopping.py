"""The steps of stopping, and of starting, when the database does not answer."""

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.event_bus import FlowChanged
from copilot_socket.stopping import LEAVING, drain, leave
from tests.handlers.support import NodeTestCase


class _Never:
    """Whatever is asked of it takes for ever."""

    waiting = 3

    def __getattr__(self, name: str) -> Any:
        return Deferred if name == "drained" else self._never

    async def _never(self) -> None:
        await Deferred()


class TimeOutTests(SynchronousTestCase):
    """What takes too long is given up, with one line."""

    def test_drain(self) -> None:
        """Reports that are not committed in time are counted."""
        clock, never = Clock(), cast(Any, _Never())
        with capturedLogs() as events:
            d = Deferred.fromCoroutine(drain(never, never, 8.0, clock))
            clock.advance(8.0)
            self.successResultOf(d)
        self.assertEqual([(event["log_level"], event["count"]) for event in events], [(LogLevel.error, 3)])

    def test_leave(self) -> None:
        """The lease expires by itself."""
        clock = Clock()
        with capturedLogs() as events:
            d = Deferred.fromCoroutine(leave(cast(Any, _Never()), clock))
            clock.advance(LEAVING)
            self.successResultOf(d)
        self.assertEqual([event["log_level"] for event in events], [LogLevel.warn])


class ReadingTests(NodeTestCase):
    """When a node reads from crawlers."""

    async def test_not_before_it_has_started(self) -> None:
        """A database that is back while the node starts is no reason to read yet."""
        node = await self.node()
        read: list[bool] = []
        self.patch(node.factory, "read", read.append)
        started, node.status._started_at = node.status._started_at, None
        for flowing in (False, True):
            node.bus.publish(FlowChanged(flowing))
        self.assertEqual(read, [])
        node.status._started_at = started
        for flowing in (False, True):
            node.bus.publish(FlowChanged(flowing))
        self.assertEqual(read, [False, True])
