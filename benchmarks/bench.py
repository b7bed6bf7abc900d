"""The environment of measurements: one shared PostgreSQL and one node, both started on first use."""

import contextlib
import json
import os
import shutil
import socket
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import psycopg2

from benchmarks.processes import program, wait_until
from copilot_socket.store.embedded import EmbeddedPostgres
from copilot_socket.store.migrate import require_current

Parameters = tuple[object, ...] | dict[str, object]

OURS = "copilot"  # the database that an embedded PostgreSQL starts with


@attrs.frozen
class Database:
    """A database of the shared PostgreSQL. Durable: fsync is on."""

    dsn: str
    postmaster: int

    def execute(
        self, statement: str, parameters: tuple[object, ...] | dict[str, object] = ()
    ) -> list[tuple[Any, ...]]:
        """Run one statement, outside of a transaction."""
        connection = psycopg2.connect(self.dsn)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()


TOKEN = "benchmark"
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}


@attrs.frozen
class Node:
    """A running node of this server, and its database."""

    socket_path: str
    port: int
    pid: int
    database: Database

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def clear(self) -> None:
        """Delete all jobs, so that each measurement starts from the same state."""
        self.database.execute("TRUNCATE jobs, job_assignments, job_past_tries")

    def queue(self, name: str, jobs: int) -> None:
        """Queue *jobs* whose paths begin with *name*, and update the statistics of the table."""
        self.database.execute(
            "INSERT INTO jobs (account_id, command, full_path) "
            "SELECT 'bench', 'issues', %s || '/' || n FROM generate_series(1, %s) AS n",
            (name, jobs),
        )
        self.database.execute("VACUUM ANALYZE jobs")

    def get(self, path: str) -> bytes:
        """The body of a response of its HTTP port."""
        request = urllib.request.Request(self.http + path, headers=AUTHORIZATION)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())


@attrs.define
class Bench:
    """A directory, and the processes that run in it while :func:`open_bench` is open."""

    directory: Path
    _closing: contextlib.ExitStack
    _embedded: EmbeddedPostgres
    _node: Node | None = None

    @property
    def postmaster(self) -> int:
        """The process id of PostgreSQL, which is started if necessary."""
        return self.database().postmaster

    def database(self, name: str = OURS) -> Database:
        """The database *name*, created if it is missing."""
        own = Database(self._embedded.start(), self._embedded.pid() or 0)
        if name == OURS:
            return own
        if not own.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)):
            own.execute(f'CREATE DATABASE "{name}"')
        return Database(own.dsn.replace(f"/{OURS}?", f"/{name}?"), own.postmaster)

    @staticmethod
    def environment(**variables: str) -> dict[str, str]:
        """The environment for programs of this repository that run in the bench's directory."""
        here = str(Path(__file__).parents[1])
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")])),
            **variables,
        }

    def node(self) -> Node:
        """The node that most workloads share; it has an account ``bench``."""
        if self._node is None:
            self._node = self._closing.enter_context(self.another_node("shared"))
        return self._node

    @contextlib.contextmanager
    def another_node(self, name: str, database: Database | None = None, **environment: str) -> Iterator[Node]:
        """A node with its own settings, on the bench's database unless another one is given."""
        database = database or self.database()
        require_current(database.dsn, upgrade=True)
        path, port = self.directory / f"{name}.sock", free_port()
        settings = {
            "SOCKET_PATH": str(path),
            "COPILOT_HTTP_PORT": str(port),
            "COPILOT_HTTP_TOKEN": TOKEN,
            "DATABASE_URL": database.dsn,
            "SOCKET_LOG_LEVEL": "warn",
            "SOCKET_MAX_CONNECTIONS": "2000",
        }
        variables = self.environment(**{**settings, **environment})
        with program(twistd(), self.directory, variables, quiet=False) as process:
            node = Node(str(path), port, process.pid, database)
            wait_until(lambda: is_ready(port), "the node", process)
            add_account(node)
            yield node


@contextlib.contextmanager
def open_bench() -> Iterator[Bench]:
    """A bench in a temporary directory; at the end everything is stopped and deleted."""
    directory = Path(tempfile.mkdtemp(prefix="copilot-bench-"))
    directory.chmod(0o711)  # the database's user needs access to subdirectories
    embedded = EmbeddedPostgres(directory / "state")
    try:
        with contextlib.ExitStack() as closing:
            yield Bench(directory, closing, embedded)
    finally:
        embedded.stop(only_if_unused=False)
        shutil.rmtree(directory, ignore_errors=True)


def twistd() -> list[str]:
    """The command that starts a node in the foreground."""
    beside = Path(sys.executable).with_name("twistd")
    start = [str(beside), "-n", "--pidfile="] if beside.exists() else [sys.executable, "-m", "twisted"]
    return [*start, "copilot-socket"]


def is_ready(port: int) -> bool:
    """Whether the node at this HTTP port is ready."""
    with contextlib.suppress(OSError):
        address = f"http://127.0.0.1:{port}/health/ready"
        with urllib.request.urlopen(address, timeout=1) as answer:
            return bool(answer.status == 200)
    return False


def add_account(node: Node, gitlab_url: str = "http://127.0.0.1:9") -> None:
    """Create or update the account ``bench``; nothing listens at the default URL."""
    account = {"provider": "gitlab-onprem", "gitlab_url": gitlab_url, "access_token": "bench"}
    request = urllib.request.Request(
        f"{node.http}/api/v1/accounts/bench",
        json.dumps(account).encode(),
        {"Content-Type": "application/json", **AUTHORIZATION},
        method="PUT",
    )
    urllib.request.urlopen(request, timeout=30).close()


def free_port() -> int:
    """A free TCP port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
