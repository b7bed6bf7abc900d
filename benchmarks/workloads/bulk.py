"""Bulk submission over HTTP, 10,000 jobs a request, compared with COPY of the same columns into the same table."""

import http.client
import io
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg2

from benchmarks.bench import AUTHORIZATION, Node
from benchmarks.figures import Result
from benchmarks.suite import Run
from benchmarks.wire import Broken

REQUESTS = 3
_COPY = """
COPY jobs (id, account_id, command, full_path, provider, gitlab_url, priority, scheduled_at, max_attempts) FROM STDIN
"""


def measure(run: Run, result: Result) -> None:
    """POST and COPY, alternately, into an empty table."""
    node = run.bench.node()
    size = run.size(full=10_000, quick=1_000)
    ways: dict[str, Callable[[Node, list[list[str]]], float]] = {"HTTP": _post, "COPY": _copy}
    for number in range(run.rounds):
        for name, way in ways.items():
            node.clear()
            bodies = [[f"{name}/{batch}/{n}" for n in range(size)] for batch in range(REQUESTS)]
            seconds = way(node, bodies)
            [(stored,)] = node.database.execute("SELECT count(*) FROM jobs WHERE status = 'queued'")
            if stored != REQUESTS * size:
                raise Broken(f"{REQUESTS * size} jobs were submitted, {stored} are stored")
            result.add(name, "jobs/s", stored / seconds)
            run.say(f"round {number + 1}: {name}: {stored / seconds:,.0f} jobs/s")
    node.clear()


def _post(node: Node, bodies: list[list[str]]) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
    encoded = [
        json.dumps([{"account_id": "bench", "command": "issues", "full_path": path} for path in paths])
        for paths in bodies
    ]
    begun = time.perf_counter()
    for body in encoded:
        connection.request("POST", "/api/v1/jobs", body, {"Content-Type": "application/json", **AUTHORIZATION})
        answer = connection.getresponse()
        answer.read()
        if answer.status != http.client.CREATED:
            raise RuntimeError(f"submitting returned {answer.status}")
    seconds = time.perf_counter() - begun
    connection.close()
    return seconds


def _copy(node: Node, bodies: list[list[str]]) -> float:
    """Copy the columns that the server writes for a POST, with ids, so that no defaults are computed."""
    connection = psycopg2.connect(node.database.dsn)
    connection.autocommit = True
    now = datetime.now(UTC).isoformat()
    encoded = [
        "".join(
            f"01{batch:012}{place:012}\tbench\tissues\t{path}\tgitlab-onprem\thttp://127.0.0.1:9\t0\t{now}\t3\n"
            for place, path in enumerate(paths)
        )
        for batch, paths in enumerate(bodies)
    ]
    begun = time.perf_counter()
    with connection.cursor() as cursor:
        for body in encoded:
            cursor.copy_expert(_COPY, io.StringIO(body))
    seconds = time.perf_counter() - begun
    connection.close()
    return seconds
