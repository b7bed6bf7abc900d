"""Lifecycles a second by number of crawlers, length of the queue and size of messages."""

import json

from benchmarks import wire
from benchmarks.figures import Result
from benchmarks.lifecycles import lifecycles, work_off
from benchmarks.suite import Run
from benchmarks.workloads.depth import fill_queued, settle

CRAWLERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_000)
DEPTHS = (1_000, 10_000, 100_000, 1_000_000)
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)  # bytes


def crawlers(run: Run, result: Result) -> None:
    """One job each."""
    node = run.bench.node()
    for _ in range(run.rounds):
        for count in (1, 32) if run.quick else CRAWLERS:
            node.clear()
            jobs = run.size(full=min(10_000, max(1_500, 250 * count)), quick=200)
            done = lifecycles(node, count, 1, jobs)
            result.add(str(count), "jobs/s", done.rate, **done.per_job())
            run.say(f"{count} crawlers: {done.rate:,.0f} jobs/s")


def queue(run: Run, result: Result) -> None:
    """32 crawlers; the depth is the length of the queue at the start of each round."""
    database = run.bench.database("curve")
    jobs = run.size(full=5_000, quick=200)
    with run.bench.another_node("curve", database) as node:
        for depth in (1_000, 5_000) if run.quick else DEPTHS:
            for number in range(run.rounds):
                [(length,)] = database.execute("SELECT count(*) FROM jobs WHERE status = 'queued'")
                fill_queued(database, f"{depth}-{number}", depth - length)
                settle(database)
                done = work_off(node, 32, 1, min(jobs, depth))
                result.add(str(depth), "jobs/s", done.rate, **done.per_job())
            run.say(f"{depth:,} queued: {result.figures[str(depth)].median:,.0f} jobs/s")
    run.bench.database().execute('DROP DATABASE "curve"')


def size(run: Run, result: Result) -> None:
    """8 crawlers with one progress report per job, whose items of this size are validated and not stored."""
    node = run.bench.node()
    for _ in range(run.rounds):
        for length in (100, 100_000) if run.quick else SIZES:
            node.clear()
            jobs = run.size(full=min(3_000, 100_000_000 // length), quick=50)
            done = lifecycles(node, 8, 1, jobs, _reports(length))
            result.add(str(length), "jobs/s", done.rate, **done.per_job(), **{"MB/s": done.rate * length / 1e6})
            run.say(f"{length:,} bytes: {done.rate:,.0f} jobs/s")


def _reports(length: int) -> wire.Reports:
    item = {"id": 123456, "title": "An issue of everyday length", "state": "opened", "labels": ["bug", "backend"]}
    items = [item] * max(1, length // len(json.dumps(item, separators=(",", ":"))))
    return wire.Reports.of(
        wire.message("job_started", "@"),
        wire.message("job_progress", "@", stage="fetching", entityType="issue", processed=len(items), items=items),
        wire.message("job_completed", "@", success=True, finalCounts={"issue": len(items)}),
    )
