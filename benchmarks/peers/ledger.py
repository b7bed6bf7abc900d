"""A file in which jobs of task queues record that they ran; measures how long the workers take for them."""

import os
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from benchmarks.contestant import Done
from benchmarks.processes import Usage
from benchmarks.wire import Broken

_ENTRY = struct.Struct("=qd")
_WARM = 0.1
"""The share of the jobs that run before the measurement begins, while workers start and load code."""
_PATIENCE = 120.0
_VARIABLE = "BENCHMARK_LEDGER"


def note(number: int) -> None:
    """Called by job *number*, in a worker: one short append, which is atomic."""
    global _file  # noqa: PLW0603 - opened once a process
    if _file is None:
        _file = os.open(os.environ[_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(_file, _ENTRY.pack(number, time.monotonic()))


_file: int | None = None


@attrs.frozen
class Ledger:
    """The file, from the measuring side."""

    path: Path
    jobs: int

    def environment(self) -> dict[str, str]:
        """The environment for the workers."""
        return {_VARIABLE: str(self.path)}

    def watch(self, worker: "subprocess.Popen[bytes]", spent: Callable[[], Usage]) -> Done:
        """Wait until all jobs have run. Raises Broken if one ran twice, RuntimeError if the worker ends early."""
        warm = int(self.jobs * _WARM)
        self._wait(warm, worker)
        before = spent()
        self._wait(self.jobs, worker)
        after = spent()
        entries = [_ENTRY.unpack(entry) for entry in _pieces(self.path.read_bytes())]
        if sorted(number for number, _ in entries) != list(range(self.jobs)):
            raise Broken(f"{len(entries)} runs of {self.jobs} jobs")
        times = sorted(when for _, when in entries)
        return Done(self.jobs - warm, times[-1] - times[warm - 1], after - before)

    def _wait(self, count: int, worker: "subprocess.Popen[bytes]") -> None:
        give_up = time.monotonic() + _PATIENCE
        while not self.path.exists() or self.path.stat().st_size < count * _ENTRY.size:
            if worker.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"the workers did not run {count} jobs (exit status {worker.poll()})")
            time.sleep(0.01)


def _pieces(data: bytes) -> list[bytes]:
    return [data[start : start + _ENTRY.size] for start in range(0, len(data), _ENTRY.size)]
