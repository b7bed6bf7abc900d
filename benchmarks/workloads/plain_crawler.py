"""The time that a plain crawler, which requests a job each 5 s while idle, loses between two short jobs."""

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

_WORK = 0.1  # seconds that GitLab takes for its one response per job
_ENOUGH = 45.0  # seconds that suffice for a mean: nine jobs with a poll before each
_PATIENCE = 90.0


@attrs.frozen
class Span:
    """When a job was started and when it was completed, in seconds."""

    started: float
    completed: float


def measure(run: Run, result: Result) -> None:
    """The demo's plain crawler, and a GitLab in which every list is empty."""
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
    """Mean seconds from the end of a job to the start of the next one."""
    between = [later.started - earlier.completed for earlier, later in itertools.pairwise(spans)]
    return sum(between) / len(between)


def own_work(spans: list[Span]) -> float:
    """Mean seconds that the crawler works on a job."""
    return sum(span.completed - span.started for span in spans) / len(spans)


def _crawl(bench: Bench, node: Node, jobs: int) -> list[Span]:
    """Run *jobs*, or as many as there is time for. Raises RuntimeError if one is not stored as completed."""

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
        # The last report may not be committed yet.
        wait_until(lambda: completed() - before >= len(spans), "the last completion", process)
    finally:
        impatience.cancel()
        stop(process)
    return spans


def _spans(lines: Iterable[bytes]) -> Iterator[Span]:
    """A span for each job, from the crawler's events as it prints them."""
    started = 0.0
    for line in lines:
        event = json.loads(line)["event"]
        if event == "start":
            started = time.perf_counter()
        elif event == "done":
            yield Span(started, time.perf_counter())


class _Empty(BaseHTTPRequestHandler):
    """A slow GitLab without entities."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(_WORK)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@contextmanager
def _gitlab() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
