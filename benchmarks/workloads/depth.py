"""Claims with full tables: three databases of one PostgreSQL, a node each, measured alternately."""

import contextlib
import time

from benchmarks.bench import Database, Node
from benchmarks.figures import Result, percentile
from benchmarks.lifecycles import work_off
from benchmarks.suite import Run
from benchmarks.talk import Talk
from benchmarks.targets import FULL, NEAR_EMPTY, UNWANTED

_FINISHED = """
INSERT INTO jobs (id, account_id, command, full_path, provider, gitlab_url, status, tries, started_at, finished_at)
SELECT '00' || lpad(n::text, 24, '0'), 'bench', 'issues', 'finished/' || n, 'gitlab-onprem', 'http://127.0.0.1:9',
       'completed', 1, now(), now()
FROM generate_series(%(start)s, %(end)s) AS n;
INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, try, crawler_key, status, outcome,
                             started_at, reported_at, completed_at)
SELECT '00' || lpad(n::text, 24, '0'), '00' || lpad(n::text, 24, '0') || '.1.0123456789ab', 'bench', 1, 'id:gone',
       'completed', 'completed', now(), now(), now()
FROM generate_series(%(start)s, %(end)s) AS n
"""
_QUEUED = """
INSERT INTO jobs (account_id, command, full_path, provider, gitlab_url, priority)
SELECT 'bench', %s, %s || '/' || n, 'gitlab-onprem', 'http://127.0.0.1:9', %s FROM generate_series(%s, %s) AS n
"""
_CHUNK = 250_000


def measure(run: Run, result: Result) -> None:
    """Lifecycles a second, and how long one crawler waits for one job."""
    queued, finished = run.size(full=1_000_000, quick=5_000), run.size(full=5_000_000, quick=10_000)
    unwanted, jobs = run.size(full=100_000, quick=2_000), run.size(full=10_000, quick=300)
    with contextlib.ExitStack() as nodes:
        named: dict[str, Node] = {}
        for name, database in ((NEAR_EMPTY, "depth-empty"), (FULL, "depth-full"), (UNWANTED, "depth-unwanted")):
            named[name] = nodes.enter_context(run.bench.another_node(database, run.bench.database(database)))
        fill_finished(named[FULL].database, finished, run)
        fill_queued(named[FULL].database, "queued", queued)
        fill_queued(
            named[UNWANTED].database, "unwanted", unwanted, "epics", priority=10
        )  # first in order, and no crawler takes them
        for node in named.values():
            settle(node.database)
        for number in range(run.rounds):
            for name, node in named.items():
                if name != FULL:
                    node.queue(f"depth-{number}", 2 * jobs)
                done = work_off(node, 32, 1, jobs)
                waits = _waits(node, f"alone-{number}", min(jobs // 3, 300))
                result.add(name, "jobs/s", done.rate, **done.per_job())
                result.add(f"{name}: one request", "ms", waits)
                run.say(f"round {number + 1}: {name}: {done.rate:,.0f} jobs/s, {waits:.2f} ms")
                if name != FULL:
                    node.database.execute("DELETE FROM jobs WHERE status = 'queued' AND command = 'issues'")
    for database in ("depth-empty", "depth-full", "depth-unwanted"):
        run.bench.database().execute(f'DROP DATABASE "{database}"')


def fill_finished(database: Database, jobs: int, run: Run) -> None:
    """Insert *jobs* finished jobs, with their assignments."""
    for start in range(1, jobs + 1, _CHUNK):
        end = min(jobs, start + _CHUNK - 1)
        database.execute(_FINISHED, {"start": start, "end": end})
        if end % 1_000_000 == 0:
            run.say(f"{end:,} finished jobs are in the table")


def fill_queued(database: Database, name: str, jobs: int, command: str = "issues", priority: int = 0) -> None:
    """Insert *jobs* queued jobs whose paths begin with *name*."""
    for start in range(1, jobs + 1, _CHUNK):
        database.execute(_QUEUED, (command, name, priority, start, min(jobs, start + _CHUNK - 1)))


def settle(database: Database) -> None:
    """Vacuum and checkpoint now, so that they do not run during the measurement."""
    for table in ("jobs", "job_assignments"):
        database.execute(f"VACUUM ANALYZE {table}")
    database.execute("CHECKPOINT")


def _waits(node: Node, name: str, count: int) -> float:
    """Milliseconds, p50, from a request of the only crawler to its job."""
    times = []
    with Talk(node.socket_path, name) as crawler:
        for _ in range(count):
            begun = time.perf_counter()
            job = crawler.request() or crawler.wait_for_job()
            times.append(time.perf_counter() - begun)
            crawler.complete(job)
    return percentile(times, 0.5) * 1000
