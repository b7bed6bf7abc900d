"""The start of a node on an existing embedded database, until it is ready."""

import time
from pathlib import Path

from benchmarks.bench import Bench, free_port, is_ready, twistd
from benchmarks.figures import Result
from benchmarks.processes import program, wait_until
from benchmarks.suite import Run


def measure(run: Run, result: Result) -> None:
    """The first start, which creates the database, is not counted."""
    state = run.bench.directory / "own-state"
    run.say(f"a new database: {_start(run.bench, state):.2f} s")
    for number in range(run.rounds):
        for _ in range(run.size(full=3, quick=1)):
            result.add("to ready", "s", _start(run.bench, state))
        run.say(f"round {number + 1}: {result.figures['to ready'].median:.2f} s")


def _start(bench: Bench, state: Path) -> float:
    port = free_port()
    environment = bench.environment(
        COPILOT_STATE_DIR=str(state),
        COPILOT_HTTP_PORT=str(port),
        SOCKET_PATH=str(bench.directory / "own.sock"),
        SOCKET_LOG_LEVEL="warn",
    )
    environment.pop("DATABASE_URL", None)
    begun = time.perf_counter()
    with program(twistd(), bench.directory, environment, quiet=False) as process:
        wait_until(lambda: is_ready(port), "the node", process)
        return time.perf_counter() - begun
