"""Activity of crawlers: kept in bounded memory, and always storable."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.messages import Message
from copilot_socket.handlers.activity import MAX_MEMORY_USAGE, SMALL, Activity, activity_of
from copilot_socket.handlers.crawlers import Crawler
from copilot_socket.wire.structuring import STRUCTURES
from tests.handlers.support import ALIVE, NodeTestCase


def heartbeat(usage: Any, size: int) -> Message:
    """A heartbeat of *size* bytes, as the decoder returns it."""
    value = {"type": "heartbeat", "timestamp": "t", "data": {**ALIVE, "uptime": 1.5, "memoryUsage": usage}}
    return Message("heartbeat", None, value, STRUCTURES["heartbeat"], (), size)


def nested(levels: int) -> Any:
    """A list in a list in a list …"""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


class ActivityTests(SynchronousTestCase):
    """activity_of(), and when it is called."""

    def test_shown(self) -> None:
        """All fields are kept, as JSON."""
        activity = activity_of(heartbeat({"rss": [1, "{"]}, 100))
        self.assertEqual(activity.system_status, "idle")
        expected = {"activeJobs": 0, "totalProcessed": 0, "memoryUsage": {"rss": [1, "{"]}, "uptime": 1.5}
        self.assertEqual(json.loads(activity.details), expected)

    def test_bound(self) -> None:
        """A memoryUsage up to the bound is kept, what is over it is left out, and the rest is shown."""
        for more, kept in ((0, True), (1, False)):
            usage = "x" * (MAX_MEMORY_USAGE - 2 + more)
            details = json.loads(activity_of(heartbeat(usage, 10_000)).details)
            self.assertEqual((details["memoryUsage"], details["uptime"]), (usage if kept else None, 1.5))

    def test_too_odd(self) -> None:
        """A memoryUsage that can't be encoded as JSON is left out."""
        self.assertIsNone(json.loads(activity_of(heartbeat(nested(300), 100)).details)["memoryUsage"])

    def test_crawler(self) -> None:
        """A large heartbeat is converted immediately, a small one when its activity is read."""
        crawler = Crawler("k", "c", False, 1, ())
        self.assertIsNone(crawler.activity)
        for size, kept in ((SMALL, Message), (SMALL + 1, Activity)):
            crawler.hear_heartbeat(heartbeat(None, size))
            self.assertIsInstance(crawler._heartbeat, kept)
            self.assertEqual(crawler.activity, activity_of(heartbeat(None, size)))
            self.assertIsInstance(crawler._heartbeat, Activity)


class ShownTests(NodeTestCase):
    """What a node stores of its crawlers."""

    async def test_one_odd_heartbeat(self) -> None:
        """It prevents no update of other crawlers' rows."""
        node = await self.node()
        for name, usage in (("odd", nested(300)), ("large", ["x" * 5000]), ("usual", 7)):
            await self.crawler(name)
            crawler = node.registry.get(f"hello:{name}")
            assert crawler is not None
            crawler.hear_heartbeat(heartbeat(usage, 100))
        await node.presence.renew()
        rows = self.query(
            "SELECT crawler_id, system_status, last_heartbeat IS NOT NULL, metadata->'memoryUsage', "
            "metadata->'activeJobs' FROM socket_connections ORDER BY crawler_id"
        )
        shown = [("large", "idle", True, None, 0), ("odd", "idle", True, None, 0), ("usual", "idle", True, 7, 0)]
        self.assertEqual(rows, shown)

    async def test_entity_types_and_capabilities(self) -> None:
        """Of the entity types in a hello only known ones are kept, each once."""
        node = await self.node()
        await self.crawler(entityTypes=["issue", "x", "issue", "epics"], capabilities=["ack", "x" * 64])
        [crawler] = node.registry
        self.assertEqual((crawler.entity_types, crawler.links[0].capabilities), (("issue", "epics"), {"ack"}))
