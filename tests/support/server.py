"""Nodes for tests: in a process of their own, or in trial's reactor."""

import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from copilot_socket.config import Config, load
from copilot_socket.core.jobs import Loss
from copilot_socket.node import Node
from tests.support.crawler import TestCrawler, Waited, reactor, until
from tests.support.postgres import DatabaseTestCase, execute, server_url

START_PATIENCE = 90.0

SHORT_TIMES: Mapping[str, str] = {
    "SOCKET_RECONNECT_GRACE": "500",
    "SOCKET_LEASE": "2000",
    "SOCKET_RETRY_DELAY": "50",
    "SOCKET_HEARTBEAT_INTERVAL": "1000",
    "SOCKET_HEARTBEAT_TIMEOUT": "60000",
    "SOCKET_CONNECTION_TIMEOUT": "60000",
    "SOCKET_SHUTDOWN_TIMEOUT": "4000",
    "SOCKET_METRICS_INTERVAL": "500",
    "SOCKET_LOG_LEVEL": "info",
    "DATABASE_CONNECTION_POOL": "3",
}
"""The default settings of a node in tests; times in milliseconds."""


def free_port() -> int:
    """An unused TCP port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def short_directory() -> Path:
    """A new directory with a path short enough for sockets. The caller removes it."""
    return Path(tempfile.mkdtemp(prefix="cs-", dir="/tmp"))


TOKEN = "token-of-the-tests"
"""COPILOT_HTTP_TOKEN of every node of a test, unless the test says otherwise."""


def ask_json(
    port: int, path: str, method: str = "GET", body: Any = None, token: str | None = TOKEN
) -> tuple[int, Any]:
    """Send a request to the local HTTP port *port*: the status, and the body as JSON (None if it is none). Blocks.

    Without a response the status is 0, and the body is the error.
    """
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({} if token is None else {"Authorization": f"Bearer {token}"})
    request = Request(f"http://127.0.0.1:{port}{path}", data, headers, method=method)
    try:
        with urlopen(request, timeout=60) as response:
            return response.status, _json(response.read())
    except OSError as error:
        status = getattr(error, "code", 0)
        return status, _json(error.read()) if hasattr(error, "read") else str(error)


def get_json(
    port: int, path: str, method: str = "GET", body: Any = None, token: str | None = TOKEN
) -> "Deferred[tuple[int, Any]]":
    """:func:`ask_json` in a thread."""
    return deferToThread(ask_json, port, path, method, body, token)


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


class Program(ProcessProtocol):
    """A process started by a test; its output is kept."""

    def __init__(self) -> None:
        self.out = b""
        self.err = b""
        self.ended: Deferred[int] = Deferred()
        """Fires with the exit status, or with minus the number of the signal that ended the process."""
        self.running = True

    def outReceived(self, data: bytes) -> None:
        """Keep standard output."""
        self.out += data

    def errReceived(self, data: bytes) -> None:
        """Keep standard error."""
        self.err += data

    def processEnded(self, reason: Failure) -> None:
        """Fire ``ended``."""
        self.running = False
        value = reason.value
        assert isinstance(value, ProcessDone | ProcessTerminated)
        self.ended.callback(value.exitCode if value.signal is None else -value.signal)


def run_program(
    arguments: list[str], environ: Mapping[str, str], directory: Path, inherited: Sequence[socket.socket] = ()
) -> tuple[Program, Any]:
    """Start a program without the variables of this process's environment that a node reads.

    It inherits the sockets *inherited*, from descriptor 3 on.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    protocol = Program()
    root = str(Path(__file__).parents[2])
    given = {**kept, "PYTHONPATH": root, "PYTHONUNBUFFERED": "1", **environ}
    descriptors = {0: "w", 1: "r", 2: "r", **{3 + n: each.fileno() for n, each in enumerate(inherited)}}
    process = reactor.spawnProcess(
        protocol, arguments[0], arguments, env=given, path=str(directory), childFDs=descriptors
    )
    return protocol, process


def run_for(
    test: TestCase, arguments: list[str], environ: Mapping[str, str], directory: Path, end_by: str = "KILL"
) -> tuple[Program, Any]:
    """:func:`run_program`; after *test*, send the signal *end_by* and wait for the end, if it still runs."""
    program, process = run_program(arguments, environ, directory)

    async def end() -> None:
        if program.running:
            process.signalProcess(end_by)
            await program.ended

    test.addCleanup(lambda: Deferred.fromCoroutine(end()))
    return program, process


def beside_python(program: str) -> str:
    """The path of a console script in the environment of this Python."""
    return str(Path(sys.executable).parent / program)


class ServerProcess:
    """``twistd -n copilot-socket`` in a process of its own, with the database *url* and the environment *more*."""

    def __init__(self, url: str | None, **more: str) -> None:
        self.directory = short_directory()
        self.port = free_port()
        self.environ: dict[str, str] = {
            **SHORT_TIMES,
            "SOCKET_PATH": str(self.directory / "c.sock"),
            "COPILOT_HTTP_PORT": str(self.port),
            "COPILOT_HTTP_TOKEN": TOKEN,
            "COPILOT_STATE_DIR": str(self.directory / "state"),
            **({} if url is None else {"DATABASE_URL": url}),
            **more,
        }
        self.program: Program | None = None
        self.wrapper: list[str] = []
        """A command that executes the command line of twistd, which is appended."""
        self.options: list[str] = []
        """Options of the node."""
        self.inherited: Sequence[socket.socket] = ()
        """Sockets that the process inherits, from descriptor 3 on."""
        self._process: Any = None

    @property
    def socket_path(self) -> str:
        """Where crawlers connect."""
        return self.environ["SOCKET_PATH"]

    @property
    def pid(self) -> int:
        """The pid of the running process."""
        return int(self._process.pid)

    @property
    def log(self) -> str:
        """The output of the process, both streams."""
        assert self.program is not None
        return (self.program.out + self.program.err).decode(errors="replace")

    def launch(self) -> Program:
        """Start the process, without waiting."""
        arguments = [*self.wrapper, beside_python("twistd"), "-n", "--pidfile=", "copilot-socket", *self.options]
        self.program, self._process = run_program(arguments, self.environ, self.directory, self.inherited)
        return self.program

    async def start(self) -> "ServerProcess":
        """Start the process, also again, and wait until the node is ready."""
        program = self.launch()

        async def ready() -> bool:
            if not program.running:
                raise AssertionError(f"the node ended while starting:\n{self.log}")
            status, _ = await get_json(self.port, "/health/ready")
            return status == 200

        try:
            await until(ready, "the node is ready", START_PATIENCE)
        except Waited as error:
            raise AssertionError(f"{error}\n{self.log}") from error
        return self

    def send(self, number: int) -> None:
        """Send a signal to the process."""
        os.kill(self.pid, number)

    async def stop(self, number: int = signal.SIGTERM, patience: float = 60.0) -> int:
        """Send the signal *number*, and return :meth:`exit_status`."""
        self.send(number)
        return await self.exit_status(patience)

    async def exit_status(self, patience: float = 60.0) -> int:
        """Wait for the end; return the exit status, or minus the number of the signal that ended the process."""
        program = self.program
        assert program is not None
        try:
            return int(await _peek(program.ended).addTimeout(patience, reactor))
        except TimeoutError as error:
            raise AssertionError(f"the node has not ended after {patience:g} s:\n{self.log}") from error

    async def kill(self) -> None:
        """End the process by SIGKILL."""
        await self.stop(signal.SIGKILL)

    async def clean_up(self) -> None:
        """Stop, and remove the directory."""
        if self.program is not None and self.program.running:
            await self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def _peek(d: "Deferred[int]") -> "Deferred[int]":
    """A new Deferred with the result of *d*, which keeps its result for others."""
    waiter: Deferred[int] = Deferred()

    def arrived(result: int) -> int:
        if not waiter.called:
            waiter.callback(result)
        return result

    d.addCallback(arrived)
    return waiter


class InProcessNode:
    """A node in trial's reactor, with the database *url* and the environment *more*: fast, and open to inspection."""

    def __init__(self, url: str, **more: str) -> None:
        self.directory = short_directory()
        environ = {
            **SHORT_TIMES,
            "SOCKET_PATH": str(self.directory / "c.sock"),
            "COPILOT_HTTP_PORT": "0",
            "COPILOT_HTTP_TOKEN": TOKEN,
            "COPILOT_STATE_DIR": str(self.directory / "state"),
            "DATABASE_URL": url,
            **more,
        }
        self.config: Config = load(environ, {}, {}, uid=os.geteuid())
        self.node = Node(self.config, url, reactor)
        self._up = False

    @property
    def socket_path(self) -> str:
        """Where crawlers connect."""
        return self.config.socket_path

    @property
    def port(self) -> int:
        """The HTTP port."""
        return self.node.ports.http_port

    async def start(self) -> "InProcessNode":
        """Start the node and wait until it is ready."""
        self.node.privilegedStartService()
        self._up = True
        self.node.startService()
        await until(lambda: self.node.status.running, "the node runs", START_PATIENCE)
        await self.node.timers.run_once("database check")
        return self

    async def stop(self) -> None:
        """Stop the node as SIGTERM would."""
        if self._up:
            self._up = False
            await self.node.stopService()

    async def clean_up(self) -> None:
        """Stop, and remove the directory."""
        await self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class NodeTestCase(DatabaseTestCase):
    """A fresh database with the account ``acct``; nodes and crawlers are stopped after the test."""

    def setUp(self) -> None:
        """Create the database."""
        super().setUp()
        self.add_account()

    def add_account(self) -> None:
        """Insert the account that owns the jobs."""
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token) "
            "VALUES ('acct', 'gitlab-onprem', 'http://gitlab.test', 'token')"
        )

    async def node(self, **environ: str) -> InProcessNode:
        """A node in this process, ready."""
        node = InProcessNode(self.database_url, **environ)
        self.addCleanup(lambda: Deferred.fromCoroutine(node.clean_up()))
        return await node.start()

    def process(self, url: str | None = None, **environ: str) -> ServerProcess:
        """A node in a process of its own, not yet started."""
        server = ServerProcess(url or self.database_url, **environ)
        self.addCleanup(lambda: Deferred.fromCoroutine(server.clean_up()))
        return server

    async def crawler(self, at: InProcessNode | ServerProcess, name: str = "plain") -> TestCrawler:
        """A connection to *at* that has sent nothing yet."""
        crawler = await TestCrawler.connect(at.socket_path, name)
        self.addCleanup(crawler.hang_up)
        return crawler

    async def greeted(self, at: InProcessNode | ServerProcess, name: str = "c1", **hello: Any) -> TestCrawler:
        """A connection to *at* that has sent ``hello`` with the capabilities ``ack`` and ``commands``."""
        crawler = await self.crawler(at, name)
        await crawler.hello(**hello)
        return crawler

    def shut_database(self) -> None:
        """Refuse connections to the database, and close existing ones."""
        name = self._let_in("false")
        execute(server_url(), f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

    def open_database(self) -> None:
        """Allow connections to the database again."""
        self._let_in("true")

    def _let_in(self, anyone: str) -> str:
        name = urlsplit(self.database_url).path.removeprefix("/")
        execute(server_url(), f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS {anyone}')
        return name

    def add_jobs(self, count: int = 1, prefix: str = "g/p", command: str = "issues") -> list[str]:
        """Insert queued jobs as a web application would; return their ids."""
        rows = self.query(
            "INSERT INTO jobs (account_id, command, full_path) "
            "SELECT 'acct', %s, %s || n FROM generate_series(1, %s) AS n RETURNING id",
            command,
            prefix,
            count,
        )
        return [str(row[0]) for row in rows]

    def status_of(self, job_id: str) -> str:
        """The state of a job, or of the job of an assignment."""
        [(status,)] = self.query("SELECT status FROM jobs WHERE id = %s", job_id.partition(".")[0])
        return str(status)

    def assert_released_in_time(self, grace: float) -> list[str]:
        """Assignments were released because their crawlers were gone, none before lease and *grace* had expired."""
        rows = self.query(
            "SELECT t.crawler_job_id, t.reason, t.ended_at >= c.lease_expires_at + %s * interval '1 second'"
            " FROM job_tries t JOIN crawlers c ON c.key = t.crawler_key WHERE t.outcome = 'released' ORDER BY 1",
            grace,
        )
        self.assertEqual({row[1:] for row in rows}, {(str(Loss.GONE), True)})
        return [str(row[0]) for row in rows]

    def count(self, status: str) -> int:
        """The number of jobs in a state."""
        [(count,)] = self.query("SELECT count(*)::int FROM jobs WHERE status = %s", status)
        assert isinstance(count, int)
        return count
