"""Whole nodes under a service manager: notifications, and inherited sockets that outlive a restart."""

import os
import signal
import socket
import stat
from pathlib import Path

from tests.support.crawler import TestCrawler, in_reactor, until
from tests.support.server import NodeTestCase, ServerProcess, get_json
from tests.support.service_manager import NotifySocket, listening, pass_on


class NotifyTests(NodeTestCase):
    """Notifications of a node."""

    @in_reactor()
    async def test_life(self) -> None:
        """Ready, alive, reloading, ready again, stopping: in this order, and ready means that crawlers are served."""
        server = self.process(WATCHDOG_USEC="200000")
        server.environ["NOTIFY_SOCKET"] = str(server.directory / "notify")
        heard = NotifySocket.at(server.environ["NOTIFY_SOCKET"])
        self.addCleanup(heard.close)
        server.launch()
        await until(lambda: heard.values("READY"), "the node says that it is ready")
        self.assertEqual(heard.values("STATUS")[0], "the node is starting")
        self.assertEqual(
            heard.values("STATUS")[-1], "crawlers: 0 (0 waiting for work), connections: 0; the database answers"
        )
        self.assertEqual((await get_json(server.port, "/health/ready"))[0], 200)
        await self.greeted(server)
        fed = len(heard.values("WATCHDOG"))
        await until(lambda: len(heard.values("WATCHDOG")) > fed + 2, "the watchdog is fed")
        server.send(signal.SIGHUP)
        await until(lambda: "READY" in heard.fields()[_last(heard, "RELOADING") :], "the reload is over")
        self.assertEqual(await server.stop(), 0)
        fields = heard.fields()
        self.assertEqual(fields.count("STOPPING"), 1)
        self.assertEqual(fields[fields.index("STOPPING") :], ["STOPPING", "STATUS"])


def _last(heard: NotifySocket, field: str) -> int:
    """Where the last *field* is among all fields; behind them if there is none."""
    fields = heard.fields()
    return len(fields) - 1 - fields[::-1].index(field) if field in fields else len(fields)


class ActivationTests(NodeTestCase):
    """Sockets that another process listens on."""

    def activated(self) -> ServerProcess:
        """A node, not yet started, that will inherit the socket for its crawlers."""
        server = self.process(SOCKET_LEASE="20000")
        self.made = listening(Path(server.socket_path))
        self.addCleanup(self.made.close)
        # What it must not need: it could make no other.
        server.environ["SOCKET_PATH"] = "/proc/none/c.sock"
        self.path = Path(self.made.getsockname())
        pass_on(server, crawlers=self.made)
        return server

    async def asking(self, name: str) -> TestCrawler:
        """A crawler that has connected and sent hello and a request, whether or not a node runs."""
        crawler = await TestCrawler.connect(str(self.path), name)
        self.addCleanup(crawler.hang_up)
        crawler.say("hello", crawlerId=name, capabilities=["ack", "commands"])
        crawler.say("job_request", limit=1)
        return crawler

    @in_reactor()
    async def test_nobody_is_refused(self) -> None:
        """Crawlers that come before the first node, or between two, wait and are served by the next."""
        server = self.activated()
        self.add_jobs(2)
        before = self.path.stat()
        early = await self.asking("early")
        await server.start()
        await early.expect("welcome")
        job = (await early.job())["id"]
        self.assertEqual(await server.stop(), 0, server.log)
        await early.expect("shutdown")
        await early.closed
        between = await self.asking("between")
        await server.start()
        await between.expect("welcome")
        await between.job()
        back = await TestCrawler.connect(str(self.path), "early")
        self.addCleanup(back.hang_up)
        await back.hello(assignments=[job])
        self.assertEqual((await back.answer(back.complete(job)))["type"], "ack")
        await server.stop()
        after = self.path.stat()
        self.assertEqual((after.st_ino, oct(after.st_mode)), (before.st_ino, oct(stat.S_IFSOCK | 0o600)))
        self.assertIn(f"Crawlers connect to {self.path}", server.log)

    @in_reactor()
    async def test_plugins_not_cached(self) -> None:
        """A twistd that can't cache its plugins imports all, Twisted's endpoints too: the socket is inherited."""
        server = self.activated()
        server.environ["SOCKET_LOG_LEVEL"] = "debug"
        plugins = server.directory / "path" / "twisted" / "plugins"
        (plugins / "dropin.cache").mkdir(parents=True)  # so that it can't be written
        (plugins / "early.py").write_text("import twisted.internet.endpoints\nopen('imported', 'w').close()\n")
        server.environ["PYTHONPATH"] = f"{Path(__file__).parents[2]}:{plugins.parents[1]}"
        await server.start()
        self.assertTrue((server.directory / "imported").exists())
        await (await self.asking("early")).expect("welcome")
        await server.stop()
        self.assertNotIn("plugin cache", server.log)

    @in_reactor()
    async def test_peer(self) -> None:
        """A plain crawler at an inherited socket is known by its process as well."""
        server = await self.activated().start()
        crawler = await TestCrawler.connect(str(self.path))
        self.addCleanup(crawler.hang_up)
        crawler.heartbeat()
        named = f"pid {os.getpid()} (uid {os.getuid()})"
        await until(lambda: (named,) in self.query("SELECT crawler_id FROM crawlers"), "it is known")
        [(key,)] = self.query("SELECT key FROM crawlers WHERE crawler_id = %s", named)
        self.assertRegex(str(key), rf"^pid:.*:{os.getpid()}:\d+:{os.getuid()}$")
        await server.stop()

    @in_reactor()
    async def test_http(self) -> None:
        """The HTTP port may be inherited too; connections to it wait for the next node."""
        server = self.activated()
        with socket.create_server(("127.0.0.1", 0)) as http:
            pass_on(server, crawlers=self.made, http=http)
            server.port = http.getsockname()[1]
            await server.start()
            self.assertIn(f"HTTP is on http://127.0.0.1:{server.port}/", server.log)
            await server.stop()
            waiting = get_json(server.port, "/health/live", token=None)
            await server.start()
            self.assertEqual(await waiting, (200, {"status": "live"}))

    @in_reactor()
    async def test_misfits(self) -> None:
        """Descriptors that a node can't serve end the start with one line that says which and why."""
        server = self.activated()
        with listening(server.directory / "other") as other:
            pass_on(server, crawlers=self.made, more=other)
            server.launch()
            self.assertEqual(await server.exit_status(), 1)
        assert server.program is not None
        said = server.program.err.decode()
        self.assertRegex(said, r"^copilot-socket can't start: inherited descriptor 4 \(more\) is one too many: .*\n$")
