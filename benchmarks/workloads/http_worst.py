"""Worst-case HTTP requests, several concurrently, and the longest wait of another client for GET /health/live."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.bench import AUTHORIZATION, Node
from benchmarks.figures import Result
from benchmarks.suite import Run
from benchmarks.wire import Broken

CLIENTS = 12
JOBS = 10_000
_UNREAD = 3.0  # seconds for which a client does not read
_AUTHORIZATION = f"Authorization: {AUTHORIZATION['Authorization']}\r\n".encode()
_HOST = b"Host: localhost\r\n" + _AUTHORIZATION
Client = Callable[[Node], None]


def measure(run: Run, result: Result) -> None:
    """One kind of request after the other, on one node."""
    largest = run.size(full=16 * 1024 * 1024, quick=1024 * 1024)
    with run.bench.another_node("http_worst", run.bench.database("http_worst")) as node:
        jobs, errors = run.size(full=1_000, quick=50), run.size(full=100, quick=10)
        large = _fill(node, jobs, errors)
        clients = _bodies(largest, run.size(full=JOBS, quick=500)) | _queries(large)
        for _ in range(run.rounds):
            for name, client in clients.items():
                before = _peak(node)
                longest, requests = _disturbed(node, client)
                grown = (_peak(node) - before) / 1e6
                result.add(
                    name, "ms", longest * 1000, **{"requests of the neighbour": requests, "memory, + MB": grown}
                )
                run.say(f"{name}: {longest * 1000:.0f} ms, {grown:.0f} MB more at the peak")


def _bodies(largest: int, count: int) -> dict[str, Client]:
    """Clients that send bodies of *largest* bytes, or lists of *count* jobs."""
    job = {
        "account_id": "bench", "command": "mergeRequests", "branch": "main", "user_id": "u-17", "priority": 5,
        "gitlab_url": "https://gitlab.example.org", "scheduled_at": "2031-01-01T01:00:00+01:00", "max_attempts": 5,
        "resume_state": {"lastEntityId": "12345", "currentPage": 7, "pages": {str(n): n for n in range(20)}},
    }  # fmt: skip

    def many(piece: bytes) -> bytes:
        return b"[" + piece * ((largest - 4) // len(piece)) + b"{}]"

    state = json.dumps({"x": [[] for _ in range(16_000)]}, separators=(",", ":"))
    bodies = {
        "valid jobs": json.dumps([{**job, "full_path": f"g/{n}"} for n in range(count)]).encode(),
        "jobs with a fault each": json.dumps([{**job, "color": n} for n in range(count)]).encode(),
        "jobs of unknown accounts": json.dumps(
            [{**job, "account_id": f"a{n}", "full_path": "g"} for n in range(count)]
        ).encode(),
        "empty lists": many(b"[],"),
        "empty objects": many(b"{},"),
        "numbers": many(b"1,"),
        "large resume states": many(f'{{"account_id":"bench","command":"users","resume_state":{state}}},'.encode()),
        "lists of lists": many(b"[" + b"[]," * 80_000 + b"[]],"),
        "unknown fields": b"{" + b",".join(b'"f%d":0' % n for n in range(largest // 11)) + b"}",
        "nesting": b"[" * largest,
        "lone surrogates": b'{"account_id":"' + b"\\ud800" * (largest // 6 - 10) + b'"}',
        "blanks": b"[" + b" " * (largest - 2) + b"]",
    }
    clients: dict[str, Client] = {name: _post(body) for name, body in bodies.items()}
    clients["repeated with a key"] = _post(bodies["valid jobs"], {"Idempotency-Key": "k"})
    clients["chunked, 64 KiB"] = _chunked(bodies["empty lists"], 65536)
    clients["chunked, one byte"] = _chunked(bodies["empty lists"][: 1024 * 1024], 1)
    clients["pipelined"] = _raw((b"GET /health/live HTTP/1.1\r\n" + _HOST + b"\r\n") * 10_000, read=True)
    return clients


def _queries(large: str) -> dict[str, Client]:
    everything = "/api/v1/jobs?limit=1000&include=resume_state,progress"
    unread = (f"GET {everything} HTTP/1.1\r\n".encode() + _HOST + b"\r\n") * 200
    return {
        "list of jobs": _get("/api/v1/jobs?limit=1000"),
        "list with resume states": _get(everything),
        "job with large errors": _get(f"/api/v1/jobs/{large}"),
        "list of crawlers": _get("/api/v1/crawlers?limit=1000"),
        "list of areas": _get("/api/v1/areas?limit=1000"),
        "answers that nobody reads": _raw(unread, read=False),
        "metrics": _get("/metrics"),
        "stats": _get("/api/v1/stats"),
    }


def _fill(node: Node, jobs: int, errors: int) -> str:
    """Insert rows of the largest sizes allowed; the id of the job with the errors."""
    execute = node.database.execute
    filler = "(SELECT string_agg(md5(n::text || k::text), '') FROM generate_series(1, %s) AS k)"
    execute("TRUNCATE jobs, job_assignments, job_past_tries, job_error_log, areas, crawlers CASCADE")
    execute(
        "INSERT INTO jobs (account_id, command, full_path, resume_state, progress) SELECT 'bench', 'epics',"
        f" repeat('x', 1000) || n, jsonb_build_object('s', {filler}), jsonb_build_object('p', {filler})"
        " FROM generate_series(1, %s) AS n",
        (2_000, 4_000, jobs),
    )
    [(large,)] = execute("SELECT id FROM jobs LIMIT 1")
    execute(
        "INSERT INTO job_error_log (job_id, error_message, is_recoverable, stack_trace, context)"
        f" SELECT %s, 'broken', true, {filler}, jsonb_build_object('c', {filler}) FROM generate_series(1, %s) AS n",
        (large, 8_000, 8_000, errors),
    )
    execute(
        "INSERT INTO areas (gitlab_origin, full_path, gitlab_id, name, type)"
        " SELECT 'http://gitlab.test', repeat('x', 1000) || n, n, repeat('y', 255), 'group'"
        " FROM generate_series(1, 10000) AS n"
    )
    execute(
        "INSERT INTO crawlers (key, crawler_id, node_id, lease_expires_at, max_jobs, entity_types, plain)"
        " SELECT n, repeat('c', 100), 'n', now(), 5, array_fill('merge_request'::text, ARRAY[20]), false"
        " FROM generate_series(1, 1000) AS n"
    )
    execute("VACUUM ANALYZE")
    return str(large)


# -- clients


def _get(path: str) -> Client:
    return lambda node: _ask(node, "GET", path)


def _post(body: bytes, headers: Mapping[str, str] | None = None) -> Client:
    given = {"Content-Type": "application/json", **(headers or {})}
    return lambda node: _ask(node, "POST", "/api/v1/jobs", body, given)


def _ask(
    node: Node, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=120)
    with contextlib.closing(connection), contextlib.suppress(ConnectionError):
        connection.request(method, path, body, {**AUTHORIZATION, **(headers or {})})
        answer = connection.getresponse()
        answer.read()
        if answer.status >= http.client.INTERNAL_SERVER_ERROR and answer.status != http.client.SERVICE_UNAVAILABLE:
            raise Broken(f"{method} {path} returned {answer.status}")


def _chunked(body: bytes, size: int) -> Client:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in _pieces(body, size))
    head = b"POST /api/v1/jobs HTTP/1.1\r\n" + _HOST + b"Content-Type: application/json\r\n"
    return _raw(head + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n", read=True)


def _pieces(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


def _raw(data: bytes, *, read: bool) -> Client:
    """A client that sends *data*, then reads, or waits without reading."""

    def client(node: Node) -> None:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", node.port), timeout=2) as connection,
        ):
            if not read:
                connection.sendall(data)
                time.sleep(_UNREAD)
                return
            sending = threading.Thread(target=_send, args=(connection, data))
            sending.start()
            while connection.recv(1 << 20):
                pass
            sending.join()

    return client


def _send(connection: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(data)


# -- the neighbour


def _disturbed(node: Node, client: Client) -> tuple[float, int]:
    """The longest wait of the neighbour while *client* runs ``CLIENTS`` times, and the number of its requests."""
    failures: list[Exception] = []

    def run() -> None:
        try:
            client(node)
        except Exception as error:  # raised when all have ended
            failures.append(error)

    clients = [threading.Thread(target=run) for _ in range(CLIENTS)]
    neighbour = http.client.HTTPConnection("127.0.0.1", node.port, timeout=120)
    with contextlib.closing(neighbour):
        _live(neighbour)
        for each in clients:
            each.start()
        longest, requests = 0.0, 0
        while any(each.is_alive() for each in clients):
            longest = max(longest, _live(neighbour))
            requests += 1
            time.sleep(0.001)
    if failures:
        raise failures[0]
    return longest, requests


def _live(connection: http.client.HTTPConnection) -> float:
    begun = time.perf_counter()
    connection.request("GET", "/health/live", headers=AUTHORIZATION)
    connection.getresponse().read()
    return time.perf_counter() - begun


def _peak(node: Node) -> int:
    """Peak memory of the node's process, in bytes."""
    for line in Path(f"/proc/{node.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise Broken("the node's process shows no peak of memory")
