"""Valid heartbeats in bursts through the socket, per CPU second of the server."""

import re
import time

from benchmarks import wire
from benchmarks.bench import Node
from benchmarks.figures import Result
from benchmarks.processes import cpu_seconds
from benchmarks.suite import Run
from benchmarks.talk import Talk

HEARTBEAT = wire.message(
    "heartbeat", activeJobs=1, totalProcessed=1234, systemStatus="processing", memoryUsage=123456789, uptime=3600
)
_BURST = 500  # in one write
_COUNTED = re.compile(rb"^socket_messages_processed_total\{([^}]*)\} ([0-9.e+]+)", re.MULTILINE)


def measure(run: Run, result: Result) -> None:
    """Newline-terminated and undelimited, alternately."""
    node = run.bench.node()
    node.clear()
    bursts = run.size(full=1_000, quick=40)
    for number in range(run.rounds):
        for name, heartbeat in (("newline-ended", HEARTBEAT), ("undelimited", HEARTBEAT.rstrip())):
            rate, wall = _bursts(node, f"{name}-{number}", heartbeat * _BURST, bursts)
            result.add(name, "a core-second", rate, **{"a second": wall})
            run.say(f"round {number + 1}: {name}: {rate:,.0f}")


def _bursts(node: Node, crawler: str, burst: bytes, bursts: int) -> tuple[float, float]:
    """Heartbeats per CPU second of the server, and per second. Raises wire.Broken for a wrong count."""
    # No job has this entity type: the reply to the request is empty, and comes after all heartbeats.
    with Talk(node.socket_path, crawler, acks=False, entity_types=["none"]) as talk:
        counted = _counted(node)
        spent, begun = cpu_seconds(node.pid), time.perf_counter()
        for _ in range(bursts):
            talk.send(burst)
        talk.request()
        wall, spent = time.perf_counter() - begun, cpu_seconds(node.pid) - spent
        counted = _counted(node) - counted
    if counted != bursts * _BURST:
        raise wire.Broken(f"{bursts * _BURST} heartbeats were sent, {counted} were counted as valid")
    return counted / max(spent, 0.01), counted / wall


def _counted(node: Node) -> int:
    found = dict(_COUNTED.findall(node.get("/metrics")))
    return sum(
        int(float(value))
        for labels, value in found.items()
        if b'type="heartbeat"' in labels and b'outcome="ok"' in labels
    )
