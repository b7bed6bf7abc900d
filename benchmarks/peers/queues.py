"""Task queues in Python as contestants: their own workers run jobs that only record that they ran."""

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs

from benchmarks.bench import Bench
from benchmarks.contestant import WORKERS, Done
from benchmarks.peers import redis
from benchmarks.peers.ledger import Ledger
from benchmarks.processes import Usage, cpu_seconds, program


@attrs.frozen
class OnRedis:
    """Celery and dramatiq: the queue is in Redis, which counts as the server, and the workers as the driver."""

    name: str
    _package: str
    _worker: Sequence[str]
    _jobs: int
    _quick: int = 200

    def missing(self) -> str | None:
        return redis.missing() or _not_installed(self._package)

    def round(self, bench: Bench, quick: bool) -> Done:
        """Raises wire.Broken if a job ran twice or not at all."""
        with redis.running(bench) as server:
            return _round(
                bench,
                self._package,
                self._worker,
                self._quick if quick else self._jobs,
                {"BENCHMARK_REDIS": server.path},
                lambda worker: Usage(driver=cpu_seconds(worker), server=cpu_seconds(server.pid)),
            )


@attrs.frozen
class Procrastinate:
    """The queue is in the shared PostgreSQL; one worker process runs 8 jobs at a time."""

    name: str = "procrastinate"

    def missing(self) -> str | None:
        return _not_installed("procrastinate")

    def round(self, bench: Bench, quick: bool) -> Done:
        """Raises wire.Broken if a job ran twice or not at all."""
        database = bench.database("procrastinate")
        database.execute("DROP SCHEMA public CASCADE")
        database.execute("CREATE SCHEMA public")
        worker = [
            "procrastinate",
            "--log-level",
            "warning",
            "--app",
            "benchmarks.peers.procrastinate_jobs.app",
            "worker",
        ]
        return _round(
            bench,
            "procrastinate",
            [*worker, "--concurrency", str(WORKERS)],
            200 if quick else 2_000,
            {"BENCHMARK_DSN": database.dsn},
            lambda pid: Usage(driver=cpu_seconds(pid), postgresql=cpu_seconds(database.postmaster)),
        )


def _round(
    bench: Bench,
    package: str,
    worker: Sequence[str],
    jobs: int,
    variables: Mapping[str, str],
    spent: Callable[[int], Usage],
) -> Done:
    directory = Path(tempfile.mkdtemp(dir=bench.directory, prefix=f"{package}-"))
    ledger = Ledger(directory / "ledger", jobs)
    environment = bench.environment(**variables, **ledger.environment())
    subprocess.run(
        [sys.executable, "-c", f"from benchmarks.peers import {package}_jobs as jobs; jobs.queue({jobs})"],
        cwd=directory,
        env=environment,
        check=True,
        timeout=120,
    )
    with program([sys.executable, "-m", *worker], directory, environment) as process:
        return ledger.watch(process, lambda: spent(process.pid))


def _not_installed(package: str) -> str | None:
    return None if importlib.util.find_spec(package) else f"pip install {package} (or the extra bench)"


CELERY = OnRedis(
    "Celery with Redis",
    "celery",
    [
        "celery",
        "--app",
        "benchmarks.peers.celery_jobs",
        "worker",
        "--concurrency",
        str(WORKERS),
        "--loglevel",
        "ERROR",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
    ],
    jobs=3_000,
)
DRAMATIQ = OnRedis(
    "dramatiq with Redis",
    "dramatiq",
    ["dramatiq", "benchmarks.peers.dramatiq_jobs", "--processes", "2", "--threads", str(WORKERS // 2)],
    jobs=3_000,
)
PEERS = (Procrastinate(), CELERY, DRAMATIQ)
