"""ops/pm2: a node really run by PM2, which comes from npm. Skipped where there is no npm."""

import contextlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any
from unittest import SkipTest

from cryptography.fernet import Fernet
from twisted.internet.threads import deferToThread

from ops.tests.npm import npm_program
from ops.tests.support import OPS, needs
from tests.support.crawler import TestCrawler, in_reactor, until
from tests.support.server import SHORT_TIMES, NodeTestCase, free_port, get_json, run_program, short_directory

ECOSYSTEM = str(OPS / "pm2" / "ecosystem.config.js")
NAME = "copilot-study-socket"


@needs("node")
class Pm2Tests(NodeTestCase):
    """The life of a node under PM2."""

    def setUp(self) -> None:
        """A PM2 of the test's own, whose daemon ends with it."""
        super().setUp()
        self.directory = short_directory()
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.addCleanup(self.end_daemon)
        self.port = free_port()
        self.socket = str(self.directory / "c.sock")
        self.environ = {
            **SHORT_TIMES,
            "PM2_HOME": str(self.directory / "pm2"),
            "COPILOT_VENV": str(Path(sys.executable).parents[1]),
            "COPILOT_SECRET_KEY": Fernet.generate_key().decode(),
            "COPILOT_HTTP_PORT": str(self.port),
            "DATABASE_URL": self.database_url,
            "SOCKET_PATH": self.socket,
        }

    async def pm2(self, *words: str) -> str:
        """What ``pm2`` says to *words*."""
        pm2 = await deferToThread(npm_program, "pm2", "pm2@7")
        if pm2 is None:
            raise SkipTest("pm2 is not installed here, and npm can't install it")
        program, _ = run_program([pm2, *words], self.environ, self.directory)
        status = await program.ended
        self.assertEqual(status, 0, program.out + program.err)
        return program.out.decode()

    async def app(self) -> dict[str, Any]:
        """How PM2 sees the node."""
        [app] = json.loads(await self.pm2("jlist"))
        self.assertEqual(app["name"], NAME)
        return {"pid": app["pid"], **app["pm2_env"]}

    async def healthy(self, other_than: int) -> int:
        """Wait until a node with another pid serves; that pid."""

        async def serves() -> int:
            status, _ = await get_json(self.port, "/health/ready")
            app = await self.app() if status == 200 else {"pid": 0}
            return app["pid"] if app["pid"] != other_than else 0

        pid: int = await until(serves, "the node serves crawlers")
        await (await self.connect()).hang_up()
        return pid

    async def connect(self) -> TestCrawler:
        """A crawler that was welcomed."""
        crawler = await TestCrawler.connect(self.socket, "c1")
        self.addCleanup(crawler.hang_up)
        await crawler.hello()
        return crawler

    async def end_daemon(self) -> None:
        """PM2's daemon ends the node too, and itself; one that does not is killed."""
        pid_file = self.directory / "pm2" / "pm2.pid"
        if pid_file.exists():
            daemon = int(pid_file.read_text())
            await self.pm2("kill")
            with contextlib.suppress(ProcessLookupError):
                os.kill(daemon, signal.SIGKILL)

    @in_reactor()
    async def test_life(self) -> None:
        """It starts, comes back after a crash, is reloaded and stopped in order; it serves crawlers in between."""
        await self.pm2("start", ECOSYSTEM, "--env", "production")
        first = await self.healthy(0)
        app = await self.app()
        self.assertEqual((app["COPILOT_ENV"], app["status"]), ("production", "online"))
        # As PM2 has understood them: a number of bytes, and milliseconds longer than the node's shutdown.
        self.assertEqual(app["max_memory_restart"], 1856 * 2**20)
        self.assertGreater(app["kill_timeout"], 8000)

        os.kill(first, signal.SIGKILL)
        second = await self.healthy(first)
        self.assertEqual((await self.app())["restart_time"], 1)

        crawler = await self.connect()
        await self.pm2("reload", ECOSYSTEM, "--env", "production")
        self.assertEqual((await crawler.expect("shutdown"))["data"]["scope"], "node")
        third = await self.healthy(second)

        crawler = await self.connect()
        await self.pm2("stop", NAME)
        self.assertEqual((await crawler.expect("shutdown"))["data"]["scope"], "node")
        self.assertEqual((await self.app())["status"], "stopped")
        self.assertRaises(ProcessLookupError, os.kill, third, 0)
        self.assertFalse(Path(self.socket).exists())

    @in_reactor()
    async def test_a_fault(self) -> None:
        """A node that can't start says why in PM2's error log, and is tried again ever more slowly."""
        self.environ["SOCKET_MODE"] = "rwx"
        await self.pm2("start", ECOSYSTEM, "--env", "production")
        log = Path((await self.app())["pm_err_log_path"])
        await until(lambda: "SOCKET_MODE" in log.read_text(), "the log names the variable")

        async def waiting() -> bool:
            return str((await self.app())["status"]) == "waiting restart"

        await until(waiting, "PM2 waits before the next start")
