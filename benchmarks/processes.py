"""Starts and stops the measured programs, and reads their CPU time and memory from /proc (Linux)."""

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_STOP_WITHIN = 20.0


@attrs.frozen
class Usage:
    """CPU seconds by process group."""

    driver: float = 0.0
    server: float = 0.0
    postgresql: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.driver + other.driver, self.server + other.server, self.postgresql + other.postgresql)

    def __sub__(self, earlier: "Usage") -> "Usage":
        return Usage(self.driver - earlier.driver, self.server - earlier.server, self.postgresql - earlier.postgresql)


def usage(server: int | None, postgresql: int | None, children: bool = False) -> Usage:
    """The CPU time so far. With *children* the driver is an ended child process, not this one."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF)
    return Usage(
        spent.ru_utime + spent.ru_stime,
        cpu_seconds(server) if server else 0.0,
        cpu_seconds(postgresql) if postgresql else 0.0,
    )


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all its children, including ended ones; resolution 10 ms."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # utime, stime, and cutime, cstime of ended children.
        return sum(map(int, fields[11:15])) / _TICKS + sum(map(cpu_seconds, _children(pid)))
    return 0.0


def resident_bytes(pid: int) -> int:
    """Memory of one process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def peak_bytes(pid: int) -> int:
    """Peak memory of one process."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) * 1024


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, tasks.read_text().split())
    return found


@contextlib.contextmanager
def program(
    command: Sequence[str], directory: Path, environment: Mapping[str, str] | None = None, quiet: bool = True
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run *command* for as long as the block lasts; what it prints goes to a file in *directory* if *quiet*."""
    with contextlib.ExitStack() as files:
        output = files.enter_context((directory / f"{Path(command[0]).name}.log").open("ab")) if quiet else None
        process = subprocess.Popen(
            command, cwd=directory, env=environment, stdout=output, stderr=subprocess.STDOUT if quiet else None
        )
        try:
            yield process
        finally:
            stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Send SIGTERM, and SIGKILL if the process does not end in time."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(
    ready: Callable[[], bool], what: str, process: "subprocess.Popen[bytes]", within: float = 20.0
) -> None:
    """Wait until *ready* returns True. Raises RuntimeError if *process* ends or after *within* seconds."""
    give_up = time.monotonic() + within
    while time.monotonic() < give_up and process.poll() is None:
        if ready():
            return
        time.sleep(0.005)
    raise RuntimeError(f"{what} did not become ready (exit status {process.poll()})")
