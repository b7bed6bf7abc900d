"""What a plain crawler, which asks each 5 s while it is idle, loses between two short jobs."""

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import attrs

from benchmarks.bench import Bench, Node, add_account
from benchmarks.figures import Result
from benchmarks.processes import stop, wait_until
from benchmarks.suite import Run

_WORK = 0.1  # seconds that GitLab takes to answer, once a job
_ENOUGH = 45.0  # seconds after which the mean is clear, however few jobs were done: with a poll before each, nine
_PATIENCE = 90.0


@attrs.frozen
class Span:
    """When a job was started and when it was completed, in seconds."""

    started: float
    completed: float


def measure(run: Run, result: Result) -> None:
    """The demo's plain crawler as it is, and a GitLab in which every list is empty."""
    jobs = run.size(full=60, quick=2)
    with run.bench.another_node("plain-crawler", run.bench.database("plain-crawler")) as node, _gitlab() as url:
        add_account(node, url)
        for number in range(run.rounds):
            node.queue(f"plain-{number}", jobs)
            spans = _crawl(run.bench, node, jobs)
            beside, work = beside_work(spans) * 1000, own_work(spans) * 1000
            result.add("beside its own work", "ms a job", beside, **{"its own work, ms": work})
            run.say(f"round {number + 1}: {beside:.1f} ms beside {work:.0f} ms")


def beside_work(spans: list[Span]) -> float:
    """Seconds from the end of a job to the start of the next one: the mean, so that one poll shows."""
    between = [later.started - earlier.completed for earlier, later in itertools.pairwise(spans)]
    return sum(between) / len(between)


def own_work(spans: list[Span]) -> float:
    """Seconds that the crawler works for a job: the mean."""
    return sum(span.completed - span.started for span in spans) / len(spans)


def _crawl(bench: Bench, node: Node, jobs: int) -> list[Span]:
    """All *jobs*, or as many as there is time for. Raises RuntimeError where one is not stored as completed."""

    def completed() -> int:
        [(stored,)] = node.database.execute("SELECT count(*) FROM jobs WHERE status = 'completed'")
        return int(stored)

    before = completed()
    spans: list[Span] = []
    out = str(bench.directory / "plain-crawler")
    command = [sys.executable, "-m", "copilot_socket.demo.plain", "--socket", node.socket_path, "--out", out]
    process = subprocess.Popen(command, env=bench.environment(), stdout=subprocess.PIPE)
    impatience = threading.Timer(_PATIENCE, process.kill)
    impatience.start()
    try:
        for span in _spans(process.stdout or ()):
            spans.append(span)
            if len(spans) == jobs or span.completed - spans[0].started > _ENOUGH:
                break
        # The last report is still on its way to the database.
        wait_until(lambda: completed() - before >= len(spans), "the last completion", process)
    finally:
        impatience.cancel()
        stop(process)
    return spans


def _spans(lines: Iterable[bytes]) -> Iterator[Span]:
    """From what a crawler prints, as it prints it: one for each job."""
    started = 0.0
    for line in lines:
        event = json.loads(line)["event"]
        if event == "start":
            started = time.perf_counter()
        elif event == "done":
            yield Span(started, time.perf_counter())


class _Empty(BaseHTTPRequestHandler):
    """A GitLab that takes its time, and has nothing."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(_WORK)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def _gitlab() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
