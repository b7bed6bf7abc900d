"""The plain server (``plain_server``) as a contestant: with the same crawlers and protocol."""

import sys

import attrs

from benchmarks import driver, wire
from benchmarks.bench import Bench
from benchmarks.contestant import Done
from benchmarks.peers import plain_server
from benchmarks.processes import Usage, program, usage, wait_until

CRAWLERS = 32


@attrs.frozen
class Plain:
    """A server that runs one statement per message."""

    name: str = "plain server"

    def missing(self) -> str | None:
        return None

    def round(self, bench: Bench, quick: bool) -> Done:
        """Raises wire.Broken if a job was done twice or is not stored."""
        jobs = 500 if quick else 10_000
        database = bench.database("plain")
        for statement in ("DROP TABLE IF EXISTS jobs", plain_server.TABLE):
            database.execute(statement)
        database.execute(
            "INSERT INTO jobs (id, path) SELECT n, 'group/' || n FROM generate_series(1, %s) AS n", (jobs,)
        )
        database.execute("VACUUM ANALYZE jobs")
        path = bench.directory / "plain.sock"
        path.unlink(missing_ok=True)
        command = [sys.executable, "-m", "benchmarks.peers.plain_server", str(path), database.dsn]
        with program(command, bench.directory, bench.environment()) as process:
            wait_until(path.exists, "the plain server", process)
            fleet = driver.Fleet(str(path), 1)
            seconds, spent = driver.run(_work(fleet, jobs, process.pid, database.postmaster))
        heard = wire.read(fleet.heard)
        [(stored,)] = database.execute("SELECT count(*) FROM jobs WHERE status = 'completed'")
        if not len(heard.completed) == len(heard.sent) == stored == jobs:
            raise wire.Broken(f"the plain server completed {stored} of {jobs} jobs")
        return Done(jobs, seconds, spent)


async def _work(fleet: driver.Fleet, jobs: int, server: int, postmaster: int) -> tuple[float, Usage]:
    await fleet.connect(CRAWLERS)
    before = usage(server, postmaster)
    seconds = await fleet.work(jobs)
    spent = usage(server, postmaster) - before
    await fleet.close()
    return seconds, spent
