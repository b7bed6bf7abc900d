"""A node in a process of its own on an embedded PostgreSQL of its own, for as long as a measurement takes."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import attrs
import psycopg2

from copilot_socket.store.embedded import EmbeddedPostgres
from copilot_socket.store.migrate import require_current

READY_WITHIN = 20.0


@attrs.frozen
class Server:
    """Where the node under measurement is."""

    socket_path: str
    http: str
    dsn: str
    pid: int

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run one statement in its database."""
        connection = psycopg2.connect(self.dsn)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def post(self, path: str, body: object) -> dict[str, object]:
        """POST (or PUT, for an account) JSON to its HTTP port."""
        method = "PUT" if path.startswith("/api/v1/accounts/") else "POST"
        request = urllib.request.Request(
            self.http + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return dict(json.load(answer))


@contextlib.contextmanager
def running(**environment: str) -> Iterator[Server]:
    """Start a database and a node; stop both, whatever happens. Durable: nothing about fsync is changed."""
    directory = Path(tempfile.mkdtemp(prefix="copilot-bench-"))
    directory.chmod(0o711)
    embedded = EmbeddedPostgres(directory / "state")
    process = None
    try:
        dsn = embedded.start()
        require_current(dsn, upgrade=True)
        port = _free_port()
        path = str(directory / "crawler.sock")
        variables = {
            **os.environ,
            "SOCKET_PATH": path,
            "COPILOT_HTTP_PORT": str(port),
            "DATABASE_URL": dsn,
            "SOCKET_LOG_LEVEL": "warn",
            "SOCKET_MAX_CONNECTIONS": "2000",
            **environment,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "twisted", "copilot-socket"]
            if not _twistd()
            else [_twistd(), "-n", "--pidfile=", "copilot-socket"],
            env=variables,
            cwd=directory,
        )
        server = Server(path, f"http://127.0.0.1:{port}", dsn, process.pid)
        _wait_ready(server, process)
        server.post(
            "/api/v1/accounts/bench",
            {"provider": "gitlab-onprem", "gitlab_url": "http://127.0.0.1:9", "access_token": "bench"},
        )
        yield server
    finally:
        if process is not None:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
        embedded.stop(only_if_unused=False)
        shutil.rmtree(directory, ignore_errors=True)


def _twistd() -> str:
    beside = Path(sys.executable).with_name("twistd")
    return str(beside) if beside.exists() else ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_ready(server: Server, process: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + READY_WITHIN
    while time.monotonic() < give_up and process.poll() is None:
        with contextlib.suppress(OSError):
            if urllib.request.urlopen(server.http + "/health/ready", timeout=1).status == 200:
                return
        time.sleep(0.02)
    raise SystemExit("the node did not become ready")
