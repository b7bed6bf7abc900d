"""beanstalkd with a log that is synced at every write, and 8 workers over its own protocol."""

import asyncio
import re
import shutil
import socket
import tempfile
import time
from pathlib import Path

import attrs

from benchmarks import driver
from benchmarks.bench import Bench
from benchmarks.contestant import WORKERS, Done
from benchmarks.processes import program, usage, wait_until
from benchmarks.wire import Broken

BODY = b'{"command":"issues","full_path":"group/project"}'
_RESERVED = re.compile(rb"RESERVED (\d+) \d+\r\n[^\r]*\r\n")
_CHUNK = 500  # jobs per write, so that the buffers of neither side fill


@attrs.frozen
class Beanstalkd:
    """Reserve and delete; there is no message for the start of a job."""

    name: str = "beanstalkd"

    def missing(self) -> str | None:
        return None if shutil.which("beanstalkd") else "apt install beanstalkd"

    def round(self, bench: Bench, quick: bool) -> Done:
        """Raises wire.Broken if a job was reserved twice or is left."""
        jobs = 500 if quick else 20_000
        directory = Path(tempfile.mkdtemp(dir=bench.directory, prefix="beanstalkd-"))
        path = directory / "socket"
        command = ["beanstalkd", "-b", str(directory), "-f", "0", "-l", f"unix:{path}"]
        with program(command, directory) as process:
            wait_until(lambda: _listens(str(path)), "beanstalkd", process)
            _fill(str(path), jobs)
            before = usage(process.pid, None)
            seconds = driver.run(_work(str(path), jobs))
            return Done(jobs, seconds, usage(process.pid, None) - before)


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(path) == 0


def _fill(path: str, jobs: int) -> None:
    put = b"put 0 0 600 %d\r\n%s\r\n" % (len(BODY), BODY)
    with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rb") as answers:
        connection.connect(path)
        for start in range(0, jobs, _CHUNK):
            count = min(_CHUNK, jobs - start)
            connection.sendall(put * count)
            for _ in range(count):
                if not (answer := answers.readline()).startswith(b"INSERTED"):
                    raise Broken(f"beanstalkd answered {answer!r}")


class _Worker(asyncio.Protocol):
    """Reserves, deletes, and reserves again in the same write, like the simulated crawlers."""

    def __init__(self, crew: "_Crew") -> None:
        self._crew = crew
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        end = 0
        for found in _RESERVED.finditer(data):
            self._crew.reserved.append(found[1])
            self.transport.write(b"delete %s\r\nreserve\r\n" % found[1])
            end = found.end()
        self._crew.deleted += data.count(b"DELETED\r\n")
        end = max(end, data.rfind(b"DELETED\r\n") + 9 if b"DELETED\r\n" in data else 0)
        self._rest = data[end:]
        if self._crew.deleted >= self._crew.wanted:
            self._crew.finished.set()


@attrs.define
class _Crew:
    wanted: int
    deleted: int = 0
    reserved: list[bytes] = attrs.field(factory=list)
    finished: asyncio.Event = attrs.field(factory=asyncio.Event)


async def _work(path: str, jobs: int) -> float:
    crew = _Crew(jobs)
    loop = asyncio.get_running_loop()
    workers = [(await loop.create_unix_connection(lambda: _Worker(crew), path))[1] for _ in range(WORKERS)]
    begun = time.perf_counter()
    for worker in workers:
        worker.transport.write(b"reserve\r\n")
    async with asyncio.timeout(300):
        await crew.finished.wait()
    seconds = time.perf_counter() - begun
    for worker in workers:
        worker.transport.close()
    if not len(set(crew.reserved)) == len(crew.reserved) == crew.deleted == jobs:
        raise Broken(f"beanstalkd reserved {len(crew.reserved)} and deleted {crew.deleted} of {jobs} jobs")
    return seconds
