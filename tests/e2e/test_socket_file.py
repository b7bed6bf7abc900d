"""The file of the crawlers' socket goes away while a node runs."""

import shutil
import signal
import socket
from pathlib import Path

from copilot_socket.wire.listening import probe
from tests.support.crawler import in_reactor, until
from tests.support.server import InProcessNode, NodeTestCase, get_json
from tests.support.service_manager import listening, pass_on


class RemovedTests(NodeTestCase):
    """Somebody removes it."""

    async def ready(self, node: InProcessNode) -> tuple[int, str]:
        """What /health/ready and /health/socket say."""
        status, _ = await get_json(node.port, "/health/ready")
        _, health = await get_json(node.port, "/health/socket")
        return status, health.get("error", "")

    async def displaced(self) -> tuple[InProcessNode, InProcessNode]:
        """A node whose socket was removed, and the one that listens at that path instead."""
        node = await self.node()
        path = Path(node.socket_path)
        path.unlink()
        other = InProcessNode(self.database_url, SOCKET_PATH=str(path))
        self.addCleanup(other.clean_up)
        return node, await other.start()

    @in_reactor()
    async def test_made_anew(self) -> None:
        """The node listens there again, with its directory if need be; crawlers that are connected stay."""
        node = await self.node(SOCKET_MODE="600")
        path = Path(node.socket_path)
        before = await self.greeted(node, "before")
        for remove in (path.unlink, lambda: shutil.rmtree(path.parent)):
            remove()
            node.node.ports.look()
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
            after = await self.greeted(node, "after")
            self.assertEqual((await after.told("heartbeat", **_IDLE))["type"], "ack")
            self.assertEqual((await before.told("heartbeat", **_IDLE))["type"], "ack")
            self.assertEqual(await self.ready(node), (200, ""))
            await after.hang_up()
        await node.stop()
        self.assertEqual(probe(path), "free")

    @in_reactor()
    async def test_taken_by_another_node(self) -> None:
        """Where another node listens meanwhile, this one is not ready until that has gone; it takes nothing away."""
        node, other = await self.displaced()
        for _ in range(2):
            node.node.ports.look()
            status, error = await self.ready(node)
            self.assertEqual(status, 503)
            self.assertIn("crawlers can't connect", error)
        await self.greeted(other, "c1")
        await other.stop()
        node.node.ports.look()
        self.assertEqual(await self.ready(node), (200, ""))
        await self.greeted(node, "c2")

    @in_reactor()
    async def test_stop_leaves_a_successor_alone(self) -> None:
        """A stopping node does not remove the socket of another one."""
        node, other = await self.displaced()
        await node.stop()
        await self.greeted(other)

    @in_reactor()
    async def test_stop_without_it(self) -> None:
        """SIGTERM to a node whose socket is gone drains it as ever: status 0, and nothing is left in `nodes`."""
        server = await self.process(SOCKET_LEASE="60000").start()
        crawler = await self.greeted(server)
        Path(server.socket_path).unlink()
        self.assertEqual(await server.stop(signal.SIGTERM), 0, server.log)
        await crawler.expect("shutdown")
        self.assertEqual(self.query("SELECT * FROM nodes"), [])
        self.assertNotIn("Traceback", server.log)

    @in_reactor()
    async def test_inherited(self) -> None:
        """A socket that was inherited can't be made anew here: the node says who has to, and is not ready."""
        server = self.process()
        made = listening(Path(server.socket_path))
        self.addCleanup(made.close)
        pass_on(server, crawlers=made)
        await server.start()
        Path(server.socket_path).unlink()

        async def not_ready() -> bool:
            return (await get_json(server.port, "/health/ready"))[0] == 503

        await until(not_ready, "the node notices")
        self.assertIn("systemctl", server.log)
        self.assertFalse(Path(server.socket_path).exists())
        self.assertEqual(await server.stop(), 0)


class StopTests(NodeTestCase):
    """Steps of stopping that fail."""

    @in_reactor()
    async def test_every_step_is_taken(self) -> None:
        """Whatever a step comes to, those behind it are taken: what was accepted is committed."""
        node = await self.node()
        self.add_jobs()
        crawler = await self.greeted(node)
        job = (await crawler.take_job())["id"]
        parts = node.node

        def fail() -> None:
            raise ZeroDivisionError

        for owner, name in ((parts.feed, "close"), (parts.presence, "stop"), (parts.ports, "close")):
            really = getattr(owner, name)
            self.patch(owner, name, lambda really=really: (really(), fail()))
        crawler.complete(job)
        await crawler.expect("ack")
        await node.stop()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)
        self.assertEqual((self.status_of(job), self.query("SELECT * FROM nodes")), ("completed", []))
        with socket.socket(socket.AF_UNIX) as late:
            self.assertRaises(FileNotFoundError, late.connect, node.socket_path)


_IDLE = {"activeJobs": 0, "totalProcessed": 0, "systemStatus": "idle"}
