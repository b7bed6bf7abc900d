"""What surrounds a node: signals, the umask, descriptors that are closed, users of whom nothing is known."""

import contextlib
import os
import shutil
import signal
import socket
import stat
from pathlib import Path

from twisted.internet.threads import deferToThread

from copilot_socket.store.embedded import EmbeddedPostgres
from tests.support.crawler import TestCrawler, Waited, in_reactor, until
from tests.support.postgres import reachable_directory
from tests.support.server import NodeTestCase, ServerProcess, get_json


def in_shell(script: str) -> list[str]:
    """A wrapper of the node's command line, which is "$@" in *script*."""
    return ["/bin/sh", "-c", script, "sh"]


class SignalTests(NodeTestCase):
    """Signals that are no orderly stop."""

    @in_reactor()
    async def test_that_mean_nothing(self) -> None:
        """SIGUSR1 and SIGUSR2 do nothing, and SIGHUP no harm where there is no log file."""
        server = await self.process().start()
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
            server.send(number)
        await self.greeted(server)
        self.assertEqual(await server.stop(), 0)

    @in_reactor()
    async def test_while_starting(self) -> None:
        """Asked to stop while its embedded database is being made, a node leaves nothing that runs; status 0."""
        directory = reachable_directory("early-")
        self.addCleanup(shutil.rmtree, directory)
        server = self.process(COPILOT_STATE_DIR=str(directory / "state"))
        del server.environ["DATABASE_URL"]
        program = server.launch()
        await until(lambda: (directory / "state" / "postgres.lock").exists() or not program.running, "it starts")
        self.assertEqual(await server.stop(signal.SIGTERM), 0, server.log)
        self.assertNotIn("Traceback", server.log)
        self.assertIsNone(EmbeddedPostgres(directory / "state").pid())
        self.assertFalse(Path(server.socket_path).exists())


class SurroundingsTests(NodeTestCase):
    """How the process was started."""

    @in_reactor()
    async def test_umask(self) -> None:
        """Directories and files have the same modes whatever the umask says."""
        for umask in ("000", "077"):
            server = self.process()
            server.environ["SOCKET_PATH"] = str(server.directory / "a" / "b" / "c.sock")
            server.environ["SOCKET_LOG_FILE"] = str(server.directory / "log")
            server.wrapper = in_shell(f'umask {umask}; exec "$@"')
            await server.start()
            modes = {
                path: stat.S_IMODE((server.directory / path).stat().st_mode) for path in ("a", "a/b", "a/b/c.sock")
            }
            self.assertEqual(modes, {"a": 0o755, "a/b": 0o755, "a/b/c.sock": 0o660})
            self.assertEqual(stat.S_IMODE((server.directory / "log").stat().st_mode) & 0o137, 0)
            await server.stop()

    @in_reactor()
    async def test_closed_descriptors(self) -> None:
        """Without standard output or error a node serves, if it has a log file; else it says so, if it can."""
        server = self.process()
        server.environ["SOCKET_LOG_FILE"] = str(server.directory / "log")
        server.wrapper = in_shell('exec "$@" <&- >&- 2>&-')
        await server.start()
        await self.greeted(server)
        self.assertEqual(await server.stop(), 0)
        self.assertIn("Stopped", (server.directory / "log").read_text())
        for script, said in (('exec "$@" >&-', "standard output is closed"), ('exec "$@" >&- 2>&-', "")):
            server = self.process()
            server.wrapper = in_shell(script)
            server.launch()
            self.assertEqual(await server.exit_status(), 1)
            self.assertIn(said, server.log)
            self.assertNotIn("Traceback", server.log)

    @in_reactor()
    async def test_unknown_names(self) -> None:
        """A name of the environment that is almost one of ours is warned of, and the node serves."""
        server = await self.process(SOCKET_MAX_CONNECTION="5").start()
        self.assertIn("is not a variable of copilot-socket: is SOCKET_MAX_CONNECTIONS meant?", server.log)

    @in_reactor()
    async def test_no_home(self) -> None:
        """A node needs no HOME."""
        server: ServerProcess = self.process()
        server.wrapper = ["/usr/bin/env", "-u", "HOME"]
        await server.start()
        self.assertEqual((await get_json(server.port, "/health/live"))[0], 200)
        self.assertNotIn("HOME", _environment(server.pid))

    @in_reactor()
    async def test_secrets_are_no_options(self) -> None:
        """What everybody who lists processes would see is refused."""
        for option in ("--copilot-http-token=hush", "--copilot-secret-key=hush", "--gitlab-client-secret=hush"):
            server = self.process()
            server.options = [option]
            server.launch()
            self.assertNotEqual(await server.exit_status(), 0)
            self.assertIn("not recognized", server.log)


class DescriptorTests(NodeTestCase):
    """Few descriptors."""

    def limited(self, descriptors: int, **environ: str) -> ServerProcess:
        """A node with a limit of descriptors, not started yet."""
        server = self.process(**environ)
        server.wrapper = in_shell(f'ulimit -n {descriptors}; exec "$@"')
        return server

    def crowd(self, count: int, family: int, address: object) -> list[socket.socket]:
        """Up to *count* silent connections, as many as are accepted."""
        crowd = []
        for _ in range(count):
            each = socket.socket(family)
            self.addCleanup(each.close)
            each.settimeout(0.1)
            with contextlib.suppress(OSError):
                each.connect(address)  # type: ignore[arg-type]
            crowd.append(each)
        return crowd

    @in_reactor()
    async def test_crowd_of_crawlers(self) -> None:
        """Too many crawlers exclude neither HTTP nor the database; the shortage is logged."""
        server = await self.limited(64, SOCKET_MAX_CONNECTIONS="1000").start()
        self.assertIn("RLIMIT_NOFILE is 64, too low for SOCKET_MAX_CONNECTIONS=1000", server.log)
        crowd = await deferToThread(self.crowd, 100, socket.AF_UNIX, server.socket_path)
        self.assertEqual((await get_json(server.port, "/health/live"))[0], 200)
        self.shut_database()
        self.open_database()
        for each in crowd:
            each.close()

        async def ready() -> bool:
            return (await get_json(server.port, "/health/ready"))[0] == 200

        async def let_in() -> TestCrawler | None:
            try:
                return await self.greeted(server)
            except Waited:  # those that have gone are still being accepted
                return None

        await until(ready, "the node is ready")
        self.add_jobs()
        crawler = await until(let_in, "a crawler is let in")
        await crawler.take_job()
        self.assertNotIn("Too many open files", server.log)
        self.assertEqual(await server.stop(), 0)

    @in_reactor()
    async def test_crowd_of_clients(self) -> None:
        """Idle HTTP connections shut out neither crawlers nor other clients."""
        server = await self.limited(128).start()
        await deferToThread(self.crowd, 300, socket.AF_INET, ("127.0.0.1", server.port))
        await self.greeted(server)
        self.assertEqual((await get_json(server.port, "/health/live"))[0], 200)

    @in_reactor()
    async def test_too_few(self) -> None:
        """With too few descriptors a node does not start, and reports how many it needs."""
        server = self.limited(40)
        server.launch()
        self.assertEqual(await server.exit_status(), 1)
        self.assertIn("copilot-socket can't start: RLIMIT_NOFILE is 40: a node with", server.log)
        self.assertNotIn("Traceback", server.log)


def _environment(pid: int) -> dict[str, str]:
    """The environment of a process."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(os.fsdecode(pair).split("=", 1) for pair in pairs if pair)
