"""Obstacles to the start of a node: an existing socket, a port in use, an unusable database."""

import os
import signal
import socket
import stat
from pathlib import Path

from twisted.internet.defer import Deferred

from copilot_socket.store import migrate
from tests.support.certificates import Authority
from tests.support.crawler import TestCrawler, in_reactor, until
from tests.support.postgres import drop_database, execute, fresh_database
from tests.support.server import NodeTestCase, ServerProcess, free_port, get_json


class _StartTestCase(NodeTestCase):
    """Shorthand for nodes that do not get far."""

    async def refused(self, server: ServerProcess) -> str:
        """Start *server*, which must end with status 1; its message on standard error."""
        server.launch()
        status = await server.exit_status()
        assert server.program is not None
        said = server.program.err.decode()
        self.assertEqual(status, 1, server.log)
        self.assertNotIn("Traceback", server.log)
        self.assertTrue(said.startswith("copilot-socket can't start: "), said)
        return said

    def listening(self, path: Path) -> socket.socket:
        """A socket that listens at *path*."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        self.addCleanup(listener.close)
        return listener


class SocketTests(_StartTestCase):
    """The place where crawlers connect."""

    @in_reactor()
    async def test_stale_socket(self) -> None:
        """A stale socket file is replaced."""
        server = self.process()
        self.listening(Path(server.socket_path)).close()
        await server.start()
        crawler = await self.greeted(server)
        self.assertTrue(crawler.open)
        self.assertTrue(stat.S_ISSOCK(Path(server.socket_path).stat().st_mode))

    @in_reactor()
    async def test_left_by_a_killed_node(self) -> None:
        """After kill -9 the next start on the same path works."""
        server = await self.process().start()
        await server.kill()
        self.assertTrue(Path(server.socket_path).exists(), "a killed node can't tidy up")
        await server.start()
        await self.greeted(server)

    @in_reactor()
    async def test_live_socket(self) -> None:
        """A live socket is not stolen: the second node ends with a clear line, the first one's crawlers go on."""
        first = await self.process().start()
        crawler = await self.greeted(first)
        second = self.process(SOCKET_PATH=first.socket_path)
        said = await self.refused(second)
        self.assertIn(f"another server listens on {first.socket_path}", said)
        self.assertIn("SOCKET_PATH", said)
        crawler.heartbeat()
        await crawler.expect("ack")
        await self.greeted(first, "another")

    @in_reactor()
    async def test_regular_file(self) -> None:
        """A file that is no socket is left as it is, and named."""
        server = self.process()
        path = Path(server.socket_path)
        path.write_text("precious")
        said = await self.refused(server)
        self.assertIn(f"{path} exists and is not a socket", said)
        self.assertEqual(path.read_text(), "precious")

    @in_reactor()
    async def test_missing_directory(self) -> None:
        """Missing directories of the socket are made."""
        server = self.process()
        server.environ["SOCKET_PATH"] = str(server.directory / "a" / "b" / "c.sock")
        await server.start()
        await self.greeted(server)

    @in_reactor()
    async def test_directory_can_not_be_made(self) -> None:
        """Where a directory can't be made, the error says how to mend it."""
        server = self.process()
        (server.directory / "file").write_text("")
        server.environ["SOCKET_PATH"] = str(server.directory / "file" / "c.sock")
        said = await self.refused(server)
        self.assertIn(f"{server.directory / 'file'}", said)
        self.assertIn("SOCKET_PATH", said)

    @in_reactor()
    async def test_mode(self) -> None:
        """The socket has the mode that is asked for, 660 if none is."""
        for given, expected in (({}, 0o660), ({"SOCKET_MODE": "600"}, 0o600), ({"SOCKET_MODE": "666"}, 0o666)):
            node = await self.node(**given)
            mode = stat.S_IMODE(Path(node.socket_path).stat().st_mode)
            self.assertEqual(oct(mode), oct(expected))


class PortTests(_StartTestCase):
    """The HTTP port."""

    @in_reactor()
    async def test_port_in_use(self) -> None:
        """A port in use ends the start with a line that names it and the variables; the next start works."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            server = self.process(COPILOT_HTTP_PORT=port)
            said = await self.refused(server)
        self.assertIn(port, said)
        self.assertIn("COPILOT_HTTP_PORT", said)
        self.assertEqual(len(said.strip().splitlines()), 1, said)
        await self._next_start_works(server)

    async def _next_start_works(self, server: ServerProcess) -> None:
        server.port = free_port()
        server.environ["COPILOT_HTTP_PORT"] = str(server.port)
        await server.start()
        self.assertEqual((await get_json(server.port, "/health/live"))[0], 200)


class ListenTests(_StartTestCase):
    """COPILOT_LISTEN: each fault names it, its value and what is wrong, and nothing is left listening."""

    async def fault(self, listen: str, **environ: str) -> str:
        """Why a node does not start."""
        server = self.process(COPILOT_LISTEN=listen, **environ)
        said = await self.refused(server)
        self.assertIn("COPILOT_LISTEN", said)
        self.assertFalse(Path(server.socket_path).exists())
        return said

    @in_reactor()
    async def test_faults(self) -> None:
        """No token, no such type, a missing file, another's key, a port in use."""
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        authority = Authority()
        server = authority.issue("server", server=True).write(directory, "server")
        (directory / "key").write_bytes(authority.key_pem)
        tls = f"ssl:0:certKey={server}"
        self.assertIn("'tcp:1' only with COPILOT_CRAWLER_TOKEN", await self.fault("tcp:1"))
        self.assertIn("'systemd:domain=INET:index=0'", await self.fault("systemd:domain=INET:index=0"))
        for listen, part in (
            (f"{tls}:clientCA={directory}/ca", f"there is no file {directory}/ca"),
            (f"{tls}:privateKey={directory}/key", f"{directory}/key is not the key"),
        ):
            said = await self.fault(listen, COPILOT_CRAWLER_TOKEN="t")
            self.assertIn(part, said)
            self.assertIn("the configuration is at fault", said)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            listen = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            said = await self.fault(f"unix:{directory}/s;{listen}", COPILOT_CRAWLER_TOKEN="t")
            self.assertIn(f"can't listen on {listen}: Address already in use", said)
        self.assertFalse((directory / "s").exists())

    @in_reactor()
    async def test_two_sockets(self) -> None:
        """A further socket that is live, or SOCKET_PATH once more."""
        server = self.process()
        server.environ["COPILOT_LISTEN"] = f"unix:{server.socket_path}"
        self.assertIn("another path than SOCKET_PATH", await self.refused(server))
        path = server.directory / "live"
        self.listening(path)
        self.assertIn("set COPILOT_LISTEN to another path", await self.fault(f"unix:{path}"))


class DatabaseTests(_StartTestCase):
    """Unusable databases. Each error contains a remedy, and nothing is started."""

    async def _refused_for(self, url: str) -> str:
        server = self.process(url)
        said = await self.refused(server)
        self.assertFalse(Path(server.socket_path).exists(), "the socket was made")
        self.assertEqual(len(said.strip().splitlines()), 1, said)
        return said

    @in_reactor()
    async def test_unreachable(self) -> None:
        """A DATABASE_URL that leads nowhere."""
        url = f"postgresql://someone:hush-hush@127.0.0.1:{free_port()}/nowhere"
        said = await self._refused_for(url)
        self.assertIn("cannot connect to the database", said)
        self.assertNotIn("hush-hush", said)

    @in_reactor()
    async def test_missing_database(self) -> None:
        """A server that has no such database."""
        url = fresh_database(migrated=False)
        drop_database(url)
        self.assertIn("does not exist", await self._refused_for(url))

    @in_reactor()
    async def test_no_tables(self) -> None:
        """A database without tables."""
        url = fresh_database(migrated=False)
        self.addCleanup(drop_database, url)
        said = await self._refused_for(url)
        self.assertIn("no tables", said)
        self.assertIn("copilot-socket migrate", said)

    @in_reactor()
    async def test_no_place_for_one(self) -> None:
        """A state directory that can't be made."""
        server = self.process()
        del server.environ["DATABASE_URL"]
        server.environ["COPILOT_STATE_DIR"] = "/proc/none"
        self.assertIn("can't create the state directory /proc/none", await self.refused(server))

    @in_reactor()
    async def test_ahead(self) -> None:
        """A schema that a newer version made."""
        execute(self.database_url, "UPDATE copilot_socket_version SET version_num = '9999_later'")
        said = await self._refused_for(self.database_url)
        self.assertIn("9999_later", said)
        self.assertIn(migrate.head(), said)
        self.assertIn("upgrade copilot-socket", said)


class ConfigurationTests(_StartTestCase):
    """Faults of the environment."""

    @in_reactor()
    async def test_all_faults_together(self) -> None:
        """All faults are reported together, each with variable, value and allowed values; secrets are not shown."""
        server = self.process(
            SOCKET_MODE="999",
            SOCKET_LEASE="soon",
            COPILOT_HTTP_PORT="70000",
            SOCKET_HEARTBEAT_INTERVAL="5000",
            SOCKET_HEARTBEAT_TIMEOUT="4000",
            COPILOT_SECRET_KEY="my-secret",
        )
        said = await self.refused(server)
        for name, value in (("SOCKET_MODE", "999"), ("SOCKET_LEASE", "soon"), ("COPILOT_HTTP_PORT", "70000")):
            self.assertRegex(said, rf"{name} is '{value}' \(environment\): allowed is .+")
        self.assertRegex(said, "SOCKET_HEARTBEAT_TIMEOUT is '4000' .* more than SOCKET_HEARTBEAT_INTERVAL")
        self.assertRegex(said, "COPILOT_SECRET_KEY is ")
        self.assertNotIn("my-secret", said)
        self.assertFalse(Path(server.socket_path).exists())


class LogFileTests(_StartTestCase):
    """SOCKET_LOG_FILE and the programs that rotate it."""

    @in_reactor()
    async def test_reopened_on_hangup(self) -> None:
        """After the file was renamed, SIGHUP makes new lines go to a new file of the old name."""
        server = self.process(SOCKET_LOG_LEVEL="debug")
        path, moved = server.directory / "node.log", server.directory / "node.log.1"
        server.environ["SOCKET_LOG_FILE"] = str(path)
        await server.start()
        self.assertIn("Crawlers connect to", path.read_text())
        path.rename(moved)
        await self._speak(server, "before-hangup")
        await until(lambda: "before-hangup" in moved.read_text(), "the renamed file is still written to")
        os.kill(server.pid, signal.SIGHUP)
        await until(lambda: path.exists() and "reopened" in path.read_text(), "the file is reopened")
        await self._speak(server, "after-hangup")
        await until(lambda: "after-hangup" in path.read_text(), "new lines are in the new file")
        self.assertNotIn("after-hangup", moved.read_text())
        self.assertEqual(await server.stop(), 0)
        self.assertIn("Stopping", path.read_text())

    async def _speak(self, server: ServerProcess, name: str) -> None:
        crawler: TestCrawler = await self.greeted(server, name)
        gone: Deferred[None] = crawler.hang_up()
        await gone
