"""How long another crawler waits for its acks while one sends each kind of worst-case message."""

import contextlib
import socket
import time

from benchmarks import wire
from benchmarks.bench import Node
from benchmarks.figures import Result, percentile
from benchmarks.processes import cpu_seconds, peak_bytes
from benchmarks.suite import Run
from benchmarks.talk import Talk
from benchmarks.worst import worst

_SIZE = 1 << 20
_SHOWN = ("lists", "names", "chains", "one string", "a list nested")
"""The fillings sent in each field; in ``context`` all are sent."""
_FIELDS = (
    *("hello: assignments", "heartbeat: memoryUsage", "job_progress: resumeState", "job_progress: items"),
    *("job_completed: finalCounts", "job_completed: outputFiles", "job_failed: unknown", "job_failed: stackTrace"),
    *("jobs_discovered: discovery_summary", "jobs_discovered: discovered_jobs", "discovery: entities"),
)
_WAIT = 0.002  # seconds between two heartbeats of the neighbour
_PATIENCE = 30.0


def measure(run: Run, result: Result) -> None:
    """One message after the other, each on its own connection, and a normal one for comparison."""
    size = run.size(full=_SIZE, quick=_SIZE // 8)
    with run.bench.another_node("worst", run.bench.database("worst")) as node:
        messages = [("a heartbeat", wire.message("heartbeat", activeJobs=0, totalProcessed=0, systemStatus="idle"))]
        messages += [(name, data) for name, data in worst(size, "none.1.none") if _is_shown(name)]
        for _ in range(run.rounds):
            for name, data in messages:
                waits, spent, answered = _waits(node, data)
                result.add(
                    *(name, "ms", max(waits) * 1000),
                    **{
                        "median, ms": percentile(waits, 0.5) * 1000,
                        "CPU, ms": spent * 1000,
                        "answers, kB": answered / 1e3,
                    },
                )
        result.add("the node's memory at most", "MB", peak_bytes(node.pid) / 1e6)
    slowest = max(result.figures.values(), key=lambda figure: figure.median if figure.unit == "ms" else 0)
    run.say(f"longest wait: {slowest.median:.0f} ms beside {slowest.name}")


def _is_shown(name: str) -> bool:
    field, _, filling = name.partition(" of ")
    return field == "job_failed: context" or (field in _FIELDS and filling in _SHOWN) or "good and then" in name


def _waits(node: Node, data: bytes) -> tuple[list[float], float, int]:
    """Seconds until each heartbeat's ack while *data* is handled, CPU seconds of the server, bytes of replies.

    The message has been handled when the heartbeat sent after it is acknowledged.
    """
    waits: list[float] = []
    heard = b""
    with Talk(node.socket_path, "neighbour") as neighbour, Talk(node.socket_path, "worst") as hog:
        behind = wire.message("heartbeat", activeJobs=0, totalProcessed=0, systemStatus="idle")
        stream = memoryview(data + behind.replace(wire.TIMESTAMP.encode(), b"behind"))
        hog.socket.setblocking(False)
        spent, begun = cpu_seconds(node.pid), time.perf_counter()
        while b'"ref":"behind"' not in heard[-500:]:
            with contextlib.suppress(BlockingIOError):
                if stream:
                    stream = stream[hog.socket.send(stream) :]
            with contextlib.suppress(BlockingIOError):
                heard += _read(hog.socket)
            asked = time.perf_counter()
            neighbour.send(behind)
            neighbour.until(b'"type":"heartbeat"')
            waits.append(time.perf_counter() - asked)
            if time.perf_counter() - begun > _PATIENCE:
                raise wire.Broken(f"no reply after {_PATIENCE:.0f} s to {data[:200]!r}")
            time.sleep(_WAIT)
        return waits, cpu_seconds(node.pid) - spent, len(heard)


def _read(hog: socket.socket) -> bytes:
    data = hog.recv(1 << 20)
    if not data:
        raise wire.Broken("the server closed the connection")
    return data
