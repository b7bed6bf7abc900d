"""The smoke benchmark: ``python -m benchmarks.smoke``.

Durable, acknowledged lifecycles a second (32 crawlers, one job each) beside what pgbench does with one claim and
one completion on the same database in the same run; and idle dispatch, HTTP submit → crawler has it.
"""

import argparse
import asyncio
import statistics
import sys
import time

from benchmarks import load, pgbench
from benchmarks.server import Server, running


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000, help="lifecycles a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--crawlers", type=int, default=32)
    parser.add_argument("--jobs-each", type=int, default=1, help="jobs that a crawler holds at a time")
    parser.add_argument("--dispatches", type=int, default=300)
    options = parser.parse_args()
    with running() as server:
        ours, theirs = [], []
        for number in range(options.rounds):
            ours.append(_lifecycles(server, options, number))
            theirs.append(pgbench.one_by_one(server, 5, 200_000))
        times = sorted(
            asyncio.run(load.dispatch(server.socket_path, lambda n: _submit(server, n), options.dispatches))
        )
    mine, yard = statistics.median(ours), statistics.median(theirs)
    lines = [
        f"lifecycles/s, {options.crawlers} crawlers, {options.jobs_each} each: {mine:,.0f}  "
        f"({', '.join(f'{value:,.0f}' for value in ours)})",
        f"pgbench one by one, jobs/s: {yard:,.0f}  ({', '.join(f'{value:,.0f}' for value in theirs)})",
        f"ratio: {mine / yard:.2f}",
        f"idle dispatch over HTTP: p50 {times[len(times) // 2] * 1000:.2f} ms, "
        f"p99 {times[int(len(times) * 0.99)] * 1000:.2f} ms",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _lifecycles(server: Server, options: argparse.Namespace, number: int) -> float:
    server.execute(
        "INSERT INTO jobs (account_id, command, full_path) "
        f"SELECT 'bench', 'issues', 'round-{number}/' || n FROM generate_series(1, {options.jobs}) AS n"
    )
    server.execute("VACUUM ANALYZE jobs")
    seconds = asyncio.run(load.lifecycles(server.socket_path, options.crawlers, options.jobs_each, options.jobs))
    [(done,)] = server.execute(
        f"SELECT count(*) FROM jobs WHERE status = 'completed' AND full_path LIKE 'round-{number}/%'"
    )
    if done != options.jobs:
        raise SystemExit(f"{options.jobs} were acknowledged, {done} are in the database")
    return options.jobs / seconds


def _submit(server: Server, number: int) -> float:
    begun = time.perf_counter()
    server.post(
        "/api/v1/jobs", {"account_id": "bench", "command": "issues", "full_path": f"dispatch/{number}-{begun}"}
    )
    return begun


if __name__ == "__main__":
    main()
