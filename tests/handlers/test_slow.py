"""Crawlers that don't read their answers, and crawlers that the node does not read from."""

import contextlib
import gc
import socket
import weakref
from typing import Any

import psycopg2
from twisted.internet.threads import deferToThread

from copilot_socket.node import Node
from copilot_socket.wire.limits import MAX_OWED, Pause
from tests.handlers.support import ALIVE, PROGRESS, NodeTestCase
from tests.handlers.test_presence import SOON, AttentiveTestCase
from tests.support.crawler import until

BAD = b'{"type":"no such type","timestamp":"t"}\n'
BEAT = b'{"type":"heartbeat","timestamp":"t","data":{"activeJobs":0,"totalProcessed":0,"systemStatus":"idle"}}\n'


class UnreadTests(NodeTestCase):
    """A client that writes and never reads."""

    def hog(self, node: Node) -> socket.socket:
        """A blocking client."""
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.settimeout(10)
        client.connect(node.config.socket_path)
        return client

    def write(self, client: socket.socket, data: bytes) -> bool:
        """Write until the node closes the connection; whether it does. Blocks."""
        with contextlib.suppress(TimeoutError):
            try:
                while True:
                    client.sendall(data)
            except OSError as error:
                if not isinstance(error, TimeoutError):
                    return True
        return False

    async def test_cut_off(self) -> None:
        """It is disconnected after the heartbeat time-out, and none of its objects stay in memory."""
        node = await self.node(**SOON, SOCKET_RECONNECT_GRACE=20_000)
        client = self.hog(node)
        await until(lambda: node.factory.connections, "it is connected")
        [protocol] = node.factory.connections.values()
        parts = [protocol, protocol._framer, protocol._outbox, protocol.transport]
        left: list[Any] = [weakref.ref(each) for each in parts]
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        del protocol, parts
        self.assertTrue(await deferToThread(self.write, client, (BAD * 19 + BEAT) * 1000))
        await until(lambda: not any(each() for each in left), "nothing is left of it")
        self.assertEqual((node.factory._unread, node.factory._owed.total), (0, 0))

    async def test_others(self) -> None:
        """Meanwhile other crawlers are answered immediately."""
        node = await self.node(SOCKET_HEARTBEAT_TIMEOUT=60_000)
        other = await self.crawler("other")
        client = self.hog(node)
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                client.send((BAD * 19 + BEAT) * 10)
                await other.sync()
        hogs = [each for each in node.factory.connections.values() if Pause.UNREAD in each.pauses]
        self.assertEqual(len(hogs), 1)
        self.assertEqual([each.held_back for each in hogs], [True])
        await other.sync()

    async def test_slow_reader(self) -> None:
        """A client that reads late gets every answer, in order, and is read from again."""
        await self.node(SOCKET_HEARTBEAT_TIMEOUT=60_000)
        crawler = await self.crawler()
        transport: Any = crawler.transport
        transport.pauseProducing()
        count = 12_000
        for ref in range(count):
            crawler.say("heartbeat", id=str(ref), **ALIVE)
        [protocol] = self.nodes[0].factory.connections.values()
        await until(lambda: Pause.UNREAD in protocol.pauses, "it is not read from")
        transport.resumeProducing()
        self.assertEqual([await crawler.acked() for _ in range(count)], [str(ref) for ref in range(count)])
        self.assertEqual((protocol.pauses, protocol.held_back), (set(), False))


class HeldBackTests(AttentiveTestCase):
    """Crawlers that the node itself does not read from."""

    @contextlib.contextmanager
    def locked(self) -> Any:
        """Within the context the table of jobs is locked, and nothing is stored."""
        with contextlib.closing(psycopg2.connect(self.database_url)) as connection:
            connection.cursor().execute("LOCK TABLE jobs")
            yield

    async def test_too_much_owed(self) -> None:
        """A crawler whose reports wait for the database, and that is not read from, is not silent."""
        node, crawler, job = await self.attentive(SOCKET_RECONNECT_GRACE=50)
        with self.locked():
            for number in range(MAX_OWED + 100):
                crawler.say("job_progress", job, id=str(number), **PROGRESS)
            [link] = node.factory.connections.values()
            await until(lambda: link.held_back, "it is held back")
            due = node.reading_clock.now + 1.0
            await until(lambda: node.reading_clock.now > due, "three time-outs are over")
            self.assertEqual([each.crawler_id for each in node.registry.present()], ["one"])
        self.assertEqual(
            [await crawler.acked() for _ in range(MAX_OWED + 100)], list(map(str, range(MAX_OWED + 100)))
        )
        self.assertEqual((self.status(job), self.tries(job)), ("assigned", []))

    async def test_silent_afterwards(self) -> None:
        """Once it is read from again its silence counts as usual."""
        node, crawler, job = await self.attentive(SOCKET_RECONNECT_GRACE=50)
        [link] = node.factory.connections.values()
        link.pause(Pause.OWED)
        due = node.reading_clock.now + 1.0
        await until(lambda: node.reading_clock.now > due, "three time-outs are over")
        self.assertTrue(crawler.open)
        link.resume(Pause.OWED)
        await crawler.closed
        await self.becomes(job, "queued")
