"""A Redis that syncs its log at every write, for task queues."""

import contextlib
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs

from benchmarks.bench import Bench
from benchmarks.processes import program, wait_until


@attrs.frozen
class Redis:
    """A running server."""

    path: str
    pid: int


def missing() -> str | None:
    """What to install if there is no Redis; else None."""
    return None if shutil.which("redis-server") else "apt install redis-server"


@contextlib.contextmanager
def running(bench: Bench) -> Iterator[Redis]:
    """A server with an empty database, on a UNIX socket."""
    directory = Path(tempfile.mkdtemp(dir=bench.directory, prefix="redis-"))
    path = directory / "socket"
    settings = {"port": "0", "unixsocket": str(path), "dir": str(directory), "save": "", "appendonly": "yes"}
    options = [
        text for name, value in (*settings.items(), ("appendfsync", "always")) for text in (f"--{name}", value)
    ]
    with program(["redis-server", *options], directory) as process:
        wait_until(lambda: _answers(path), "Redis", process)
        yield Redis(str(path), process.pid)


def _answers(path: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")
    return False
