"""Bulk operations while crawlers work: how long these wait, with them and without."""

import asyncio
import json
import time
import urllib.request
from typing import Any

from benchmarks import driver, wire
from benchmarks.bench import AUTHORIZATION, Node
from benchmarks.figures import Result, percentile
from benchmarks.suite import Run

CRAWLERS = 32
PAUSE = 0.05
"""Seconds that a crawler works on a job."""
_FAILED = """
INSERT INTO jobs (account_id, command, full_path, status, tries, attempts, started_at, finished_at, cause)
SELECT 'bench', 'issues', 'failed/' || n, 'failed', 1, 3, now(), now(), 'job_error' FROM generate_series(1, %s) AS n
"""


class Worker(driver.Crawler):
    """Works for a while on each job, and notes how long it waits for the acknowledgement of its end."""

    def __init__(self, fleet: driver.Fleet, name: str, waits: list[float]) -> None:
        super().__init__(fleet, name)
        self._waits = waits
        self._reported = 0.0
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        whole = self._buffer.rfind(b"\n") + 1
        lines, self._buffer = self._buffer[:whole], self._buffer[whole:]
        if wire.ERROR in lines:
            self._fleet.fail(f"the server answered {lines!r}")
        if wire.COMPLETION_ACKED in lines:
            self._waits.append(time.perf_counter() - self._reported)
        if wire.WELCOME in lines:
            self._fleet.welcomed += 1
            self._fleet.changed.set()
        for job in wire.JOB_ID.findall(lines):
            asyncio.get_running_loop().call_later(PAUSE, self._report, job)

    def _report(self, job: bytes) -> None:
        if not self.transport.is_closing():
            self._reported = time.perf_counter()
            self.transport.write(self._fleet.reports.about([job]) + self._request)


def measure(run: Run, result: Result) -> None:
    """Milliseconds from the report of a job's end to its acknowledgement, p50 and p99, and jobs changed a second."""
    failed, queued = run.size(full=300_000, quick=2_000), run.size(full=20_000, quick=2_000)
    alone = run.size(full=10, quick=1)
    for number in range(run.rounds):
        node = run.bench.node()
        node.clear()
        node.database.execute(_FAILED, (failed,))
        node.queue("working", queued)
        driver.run(_round(node, alone, failed, result))
        run.say(f"round {number + 1}: {failed:,} jobs retried beside {CRAWLERS} crawlers")
    run.bench.node().clear()


async def _round(node: Node, alone: int, failed: int, result: Result) -> None:
    fleet, waits = driver.Fleet(node.socket_path, 1), list[float]()
    loop = asyncio.get_running_loop()
    workers = [Worker(fleet, f"worker-{number}", waits) for number in range(CRAWLERS)]
    for worker in workers:
        await loop.create_unix_connection(lambda worker=worker: worker, node.socket_path)  # type: ignore[misc]
        worker.request()
    await asyncio.sleep(alone)
    _add(result, "alone", waits, alone)
    waits.clear()
    retried, seconds = await _carry_out(node, "retry")
    if retried != failed:
        raise wire.Broken(f"{retried} of {failed} failed jobs were retried")
    _add(result, "beside the retry", waits, seconds)
    result.add("retried", "jobs/s", retried / seconds)
    waits.clear()
    cancelled, seconds = await _carry_out(node, "cancel")
    _add(result, "beside the cancellation", waits, seconds)
    result.add("cancelled", "jobs/s", cancelled / seconds)
    if fleet.failure:
        raise wire.Broken(fleet.failure)
    for worker in workers:
        worker.transport.close()


async def _carry_out(node: Node, action: str) -> tuple[int, float]:
    """Do *action* to all jobs that allow it, but those that crawlers hold; how many were changed, and the seconds."""
    begun = time.perf_counter()
    filters = {"status": ["queued", "failed"]}
    operation = await asyncio.to_thread(_ask, node, "/api/v1/jobs/bulk", {"action": action, "filter": filters})
    while operation["status"] == "running":
        await asyncio.sleep(0.2)
        operation = await asyncio.to_thread(_ask, node, f"/api/v1/operations/{operation['id']}")
    if operation["status"] != "done":
        raise wire.Broken(f"the operation ended as {operation}")
    return operation["changed_total"], time.perf_counter() - begun


def _add(result: Result, name: str, waits: list[float], seconds: float) -> None:
    p50, p99 = (1000 * percentile(waits, share) for share in (0.5, 0.99))
    result.add(f"{name}: end acknowledged", "ms", p50, p99=p99, longest=1000 * max(waits), jobs=len(waits) / seconds)


def _ask(node: Node, path: str, body: object = None) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", **AUTHORIZATION} if body is not None else AUTHORIZATION
    encoded = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(node.http + path, encoded, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found
