"""Latency until an idle crawler has a job: from a POST, and from an INSERT by another program."""

import http.client
import json
import time
from collections.abc import Callable

import psycopg2

from benchmarks.bench import AUTHORIZATION, Node
from benchmarks.figures import Result, percentile
from benchmarks.suite import Run
from benchmarks.talk import Talk

_PAUSE = 0.003  # seconds, in which everything becomes idle again
_INSERT = "INSERT INTO jobs (account_id, command, full_path) VALUES ('bench', 'issues', %s)"


def measure(run: Run, result: Result) -> None:
    """Both ways, alternately."""
    node = run.bench.node()
    node.clear()
    count = run.size(full=400, quick=40)
    for number in range(run.rounds):
        for name, way in (("HTTP submit", _by_http), ("INSERT", _by_insert)):
            times = way(node, f"{name}-{number}", count)
            for share in (0.5, 0.99):
                result.add(f"{name}, p{share * 100:.0f}", "ms", percentile(times, share) * 1000)
            run.say(f"round {number + 1}: {name}: p50 {percentile(times, 0.5) * 1000:.2f} ms")


def _by_http(node: Node, name: str, count: int) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
    connection.connect()

    def submit(path: str) -> None:
        job = {"account_id": "bench", "command": "issues", "full_path": path}
        connection.request(
            "POST", "/api/v1/jobs", json.dumps(job), {"Content-Type": "application/json", **AUTHORIZATION}
        )

    def answered() -> None:
        answer = connection.getresponse()
        answer.read()
        if answer.status != http.client.CREATED:
            raise RuntimeError(f"submitting returned {answer.status}")

    try:
        return _times(node, name, count, submit, answered)
    finally:
        connection.close()


def _by_insert(node: Node, name: str, count: int) -> list[float]:
    connection = psycopg2.connect(node.database.dsn)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            return _times(node, name, count, lambda path: cursor.execute(_INSERT, (path,)), lambda: None)
    finally:
        connection.close()


def _times(
    node: Node, name: str, count: int, submit: Callable[[str], None], answered: Callable[[], None]
) -> list[float]:
    """Seconds from *submit* until the crawler has read the job."""
    times = []
    with Talk(node.socket_path, name) as crawler:
        for number in range(count):
            if (left := crawler.request()) is not None:
                raise RuntimeError(f"a job was queued already: {left!r}")
            time.sleep(_PAUSE)
            begun = time.perf_counter()
            submit(f"{name}/{number}")
            job = crawler.wait_for_job()
            times.append(time.perf_counter() - begun)
            answered()
            crawler.complete(job)
    return times
