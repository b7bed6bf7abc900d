"""The dashboard at 5,000,000 jobs: what its pages ask for; and what 50 open pages cost a node, idle and at work."""

import contextlib
import http.client
import shutil
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from benchmarks.bench import AUTHORIZATION, Node
from benchmarks.figures import Result
from benchmarks.processes import cpu_seconds
from benchmarks.suite import Run
from benchmarks.talk import Talk

PAGES = {
    "overview": "/",
    "jobs": "/jobs",
    "failed jobs below a path": "/jobs?status=failed&path_prefix=group7",
    "errors": "/errors",
    "error": "/errors/{error}",
    "job": "/jobs/{job}",
    "crawlers": "/crawlers",
    "accounts": "/accounts",
    "account": "/accounts/a7",
    "areas": "/areas",
    "pauses": "/pauses",
    "operations": "/operations",
    "audit log": "/audit",
    "tokens": "/tokens",
    "settings": "/settings",
}
STREAM = "/api/v1/events?types=snapshot,counts,overview,connection,account,host,pause,budget"
"""That of a page; every other page is a list of jobs, which adds their events."""
JOBS_STREAM = f"{STREAM},job"
OPEN = 50
RATE = 50.0
"""Jobs per second of a node that is not idle."""
_CHUNK = 250_000
_ACCOUNTS = """
INSERT INTO accounts (id, provider, gitlab_url, access_token)
SELECT 'a' || n, 'gitlab-onprem', 'http://127.0.0.1:9', 'bench' FROM generate_series(0, 999) AS n;
INSERT INTO areas (gitlab_origin, full_path, gitlab_id, name, type)
SELECT 'http://127.0.0.1:9', 'group' || n % 100 || '/project' || n, n, 'Project ' || n, 'project'
FROM generate_series(1, 20000) AS n;
INSERT INTO area_authorizations (account_id, gitlab_origin, full_path)
SELECT 'a' || row_number() OVER () % 1000, gitlab_origin, full_path FROM areas;
INSERT INTO error_groups (fingerprint, command, text, errors)
SELECT substr(md5(n::text), 1, 16), 'issues', 'error number ' || n, 5000 FROM generate_series(1, 100) AS n;
INSERT INTO error_counts (fingerprint, hour, account_id, errors)
SELECT fingerprint, date_trunc('hour', now()) - h * interval '1 hour', 'a' || h, 20
FROM error_groups, generate_series(0, 200) AS h
"""
# Of 20 jobs 17 are completed, one has failed, one is queued, one is cancelled.
_JOBS = """
INSERT INTO jobs (id, account_id, provider, gitlab_url, command, full_path, status, tries, started_at, finished_at,
                  error, created_at)
SELECT '00' || lpad(n::text, 24, '0'), 'a' || n %% 1000, 'gitlab-onprem', 'http://127.0.0.1:9',
       (ARRAY['issues', 'commits', 'branches', 'mergeRequests'])[1 + n %% 4],
       'group' || n %% 100 || '/project' || n, status, 1, CASE WHEN status <> 'queued' THEN at END,
       CASE WHEN status <> 'queued' THEN at + interval '30 s' END,
       CASE status WHEN 'failed' THEN substr(md5((1 + n / 20 %% 100)::text), 1, 16) END, at - interval '1 minute'
FROM generate_series(%(start)s::int, %(end)s::int) AS n,
LATERAL (SELECT CASE n %% 20 WHEN 0 THEN 'failed' WHEN 1 THEN 'queued' WHEN 2 THEN 'cancelled' ELSE 'completed' END
         AS status, now() - n * interval '0.1 s' AS at) AS x
"""


def measure(run: Run, result: Result) -> None:
    """Pages first, on the full table; then what open pages cost."""
    if find_spec("playwright") is None or shutil.which("chromium") is None:
        result.skip("pages", "needs Chromium and the module playwright")
        return
    with run.bench.another_node("dashboard", run.bench.database("dashboard")) as node:
        _fill(node, run.size(full=5_000_000, quick=20_000), run)
        with _browser(node) as visit:
            for _ in range(run.rounds):
                for name, address in _addresses(node).items():
                    _measure_page(run, result, node, name, visit(), address)
            _measure_paint(run, result, visit())
        seconds = run.size(full=20, quick=3)
        for busy in (False, True):
            _measure_open(run, result, node, busy, seconds)
    run.bench.database().execute('DROP DATABASE "dashboard"')


def _fill(node: Node, jobs: int, run: Run) -> None:
    for statement in _ACCOUNTS.split(";"):
        node.database.execute(statement)
    for start in range(1, jobs + 1, _CHUNK):
        end = min(jobs, start + _CHUNK - 1)
        node.database.execute(_JOBS, {"start": start, "end": end})
        if end % 1_000_000 == 0:
            run.say(f"{end:,} jobs are in the table")
    node.database.execute("VACUUM ANALYZE")
    node.database.execute("CHECKPOINT")


def _addresses(node: Node) -> dict[str, str]:
    [(job, error)] = node.database.execute("SELECT id, error FROM jobs WHERE status = 'failed' LIMIT 1")
    return {name: address.format(job=job, error=error) for name, address in PAGES.items()}


@contextlib.contextmanager
def _browser(node: Node) -> Iterator[Any]:
    """What makes a new page, signed in, in one browser profile."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not installed everywhere

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        try:
            context = browser.new_context(base_url=node.http, viewport={"width": 1280, "height": 800})
            context.request.post("/api/v1/session", headers=AUTHORIZATION)
            yield context.new_page
        finally:
            browser.close()


def _open(page: Any, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("h1", timeout=60_000)
    for sign in (".loading", "[aria-busy=true]"):
        page.wait_for_selector(sign, state="detached", timeout=60_000)
    page.wait_for_selector(".live.is-open", timeout=60_000)


def _measure_page(run: Run, result: Result, node: Node, name: str, page: Any, address: str) -> None:
    """The longest of the requests of a page, and the time that PostgreSQL worked for all of them."""
    took: dict[str, float] = {}

    def finished(request: Any) -> None:
        path = urlsplit(request.url).path
        if path.startswith("/api/") and path != "/api/v1/events":
            took[path] = max(took.get(path, 0.0), request.timing["responseEnd"] - request.timing["requestStart"])

    page.on("requestfinished", finished)
    before = _database_seconds(node)
    _open(page, address)
    spent = _database_seconds(node) - before
    page.close()
    path, longest = max(took.items(), key=lambda each: each[1], default=("none", 0.0))
    result.add(name, "ms", longest, **{"PostgreSQL, ms": spent * 1000})
    run.say(f"{name}: {longest:.0f} ms for {path}; PostgreSQL {spent * 1000:.0f} ms")


def _database_seconds(node: Node) -> float:
    """CPU time of PostgreSQL so far."""
    return cpu_seconds(node.database.postmaster)


def _measure_paint(run: Run, result: Result, page: Any) -> None:
    """The first paint of the overview, from loopback; the first visit fills the browser's cache."""
    paints = []
    for _ in range(6):
        _open(page, "/")
        paints.append(
            page.evaluate(
                "performance.getEntriesByType('paint').find(({ name }) => name === 'first-paint').startTime"
            )
        )
    page.close()
    result.add("first paint", "ms", statistics.median(paints))
    run.say(f"first paint: {', '.join(f'{each:.0f}' for each in paints)} ms")


def _measure_open(run: Run, result: Result, node: Node, busy: bool, seconds: float) -> None:
    """The CPU of the node with pages, and without."""
    name = f"{OPEN} pages at {RATE:.0f} jobs/s" if busy else f"{OPEN} pages, idle"
    with _jobs(node) if busy else contextlib.nullcontext():
        _cpu(node, 3.0)
        without = _cpu(node, seconds)
        with _streams(node), _browser(node) as visit:
            for address in ("/", "/jobs"):
                _open(visit(), address)
            _cpu(node, 3.0)
            with_pages = _cpu(node, seconds)
    result.add(name, "% of a core", (with_pages - without) * 100, **{"without, %": without * 100})
    run.say(f"{name}: {with_pages * 100:.1f} % of a core, {without * 100:.1f} % without")


def _cpu(node: Node, seconds: float) -> float:
    """The share of a core that the node takes during *seconds*."""
    before, begun = cpu_seconds(node.pid), time.perf_counter()
    time.sleep(seconds)
    return (cpu_seconds(node.pid) - before) / (time.perf_counter() - begun)


@contextlib.contextmanager
def _jobs(node: Node) -> Iterator[None]:
    """A crawler that does jobs at the rate."""
    node.queue("dashboard", 10_000)
    ended = threading.Event()

    def work() -> None:
        with Talk(node.socket_path, "dashboard", entity_types=["issue"]) as crawler:
            begun, done = time.perf_counter(), 0
            while not ended.is_set():
                crawler.complete(crawler.request() or crawler.wait_for_job())
                done += 1
                ended.wait(max(0.0, begun + done / RATE - time.perf_counter()))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _streams(node: Node) -> Iterator[None]:
    """The streams of open pages, in this process."""
    opened = []

    def read(path: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
        connection.request("GET", path, headers=AUTHORIZATION)
        sock = connection.sock
        answer = connection.getresponse()
        opened.append(sock)
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            while answer.read1(65536):
                pass

    paths = [STREAM, JOBS_STREAM] * (OPEN // 2)
    threads = [threading.Thread(target=read, args=(path,), daemon=True) for path in paths]
    for thread in threads:
        thread.start()
    while len(opened) < len(paths):
        time.sleep(0.05)
    try:
        yield
    finally:
        for each in opened:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
