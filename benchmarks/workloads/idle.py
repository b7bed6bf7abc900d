"""1,000 connected crawlers that only send heartbeats: CPU and memory of an idle node."""

import asyncio
import time

from benchmarks import driver
from benchmarks.bench import Node
from benchmarks.figures import Result
from benchmarks.processes import cpu_seconds, resident_bytes
from benchmarks.suite import Run
from benchmarks.workloads.heartbeats import HEARTBEAT

INTERVAL = 5.0  # seconds between two heartbeats of one crawler


def measure(run: Run, result: Result) -> None:
    """A separate node, so that its memory is that of these crawlers."""
    crawlers = run.size(full=1_000, quick=100)
    for number in range(run.rounds):
        with run.bench.another_node("idle", run.bench.database("idle")) as node:
            server, postgresql, memory = driver.run(_beat(node, crawlers, run.size(full=15, quick=2)))
        result.add("CPU", "% of a core", server * 100, **{"PostgreSQL, %": postgresql * 100})
        result.add("memory", "MB", memory / 1e6)
        run.say(f"round {number + 1}: {server * 100:.1f} % of a core, {memory / 1e6:.0f} MB")


async def _beat(node: Node, crawlers: int, seconds: int) -> tuple[float, float, int]:
    fleet = driver.Fleet(node.socket_path, 1)
    await fleet.connect(crawlers, "idle")
    await _for(fleet, 1.0)
    before = cpu_seconds(node.pid), cpu_seconds(node.database.postmaster)
    begun = time.perf_counter()
    await _for(fleet, seconds)
    passed = time.perf_counter() - begun
    after = cpu_seconds(node.pid), cpu_seconds(node.database.postmaster)
    memory = resident_bytes(node.pid)
    await fleet.close()
    return (after[0] - before[0]) / passed, (after[1] - before[1]) / passed, memory


async def _for(fleet: driver.Fleet, seconds: float) -> None:
    """Send each crawler's heartbeat once per interval, evenly distributed."""
    begun = time.perf_counter()
    sent = 0
    while (passed := time.perf_counter() - begun) < seconds:
        for number in range(sent, int(passed / INTERVAL * len(fleet.crawlers))):
            fleet.crawlers[number % len(fleet.crawlers)].transport.write(HEARTBEAT)
            sent = number + 1
        await asyncio.sleep(0.01)
