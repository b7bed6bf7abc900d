"""``copilot-socket tail`` against a real site, and what it makes of events."""

import io
import json
import os
import signal
import sys
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.cli import tail
from copilot_socket.cli.event_lines import line
from copilot_socket.cli.main import parse
from copilot_socket.cli.node import Node, Refused
from copilot_socket.cli.sse import Event, events
from copilot_socket.cli.style import Screen
from copilot_socket.core.live_events import TYPES, LiveEvent, job
from tests.http.harness import EventsTestCase
from tests.support.crawler import until
from tests.support.server import Program, beside_python, free_port, run_program

FAILED = job(
    "J1",
    "job_failed",
    status="failed",
    crawler_job_id="J1.1.x",
    crawler_id="C1",
    reason="it broke\x1b[2J",
    outcome="failed",
    account_id="acme",
)


class StreamTests(SynchronousTestCase):
    """Reading the format."""

    def test_events(self) -> None:
        """Fields in any order, data in several lines, comments, and what is not known."""
        lines = (
            b"retry: 5\n", b": hello\n", b"\n",
            b"event: job\r\n", b"id: n-1\n", b"data: {\n", b'data:"a": 1}\n', b"\n",
            b"id: only\n", b"\n", b"nonsense\n", b"data: {}\n", b"\n", b"data: {\n",
        )  # fmt: skip
        self.assertEqual(list(events(lines)), [Event("n-1", "job", {"a": 1}), Event(None, "message", {})])


class LineTests(SynchronousTestCase):
    """Output for people."""

    def test_lines(self) -> None:
        """Aligned, in one line each, with what matters."""
        job = {"id": "J1", "crawler_id": "c1", "account_id": "acme", "timestamp": "2026-01-05T10:00:00.000Z"}
        time = f"{datetime.fromisoformat(job['timestamp']).astimezone():%H:%M:%S}"
        for event, expected in (
            (
                Event("n-1", "job", {
                    **job, "event": "sent", "status": "assigned", "command": "issues", "full_path": "g/p"}),
                "job         assigned            J1  sent  crawler c1  issues g/p",
            ),
            (
                Event("n-2", "job", {**job, "event": "job_progress", "progress": {
                    "stage": "fetching", "entityType": "issue", "processed": 7, "total": 9}}),
                "job         progress            J1  fetching issue 7 of 9  crawler c1",
            ),
            (
                Event("n-3", "job", {**job, "event": "job_progress", "progress": {"finalCounts": {"issue": 3}}}),
                "job         progress            J1  issue: 3  crawler c1",
            ),
            (
                Event("n-4", "connection", {**job, "event": "closed", "reason": "done"}),
                "connection  closed              crawler c1  done",
            ),
            (
                Event("n-5", "heartbeat", {**job, "system_status": "idle", "metadata": {"activeJobs": 2}}),
                "heartbeat   idle                crawler c1  2 active",
            ),
        ):  # fmt: skip
            self.assertEqual(line(event, Screen()), f"{time}  {expected}")
        failed = {"status": "queued", "event": "job_failed", "cause": "rate_limited", "reason": "HTTP 429"}
        self.assertIn("job_failed  rate_limited: HTTP 429", line(Event(None, "job", failed), Screen()))
        self.assertIn("lost                3 events", line(Event(None, "lost", {"lost": 3}), Screen()))
        self.assertIn("news", line(Event(None, "news", {"x": 1}), Screen()))

    def test_colours(self) -> None:
        """On a terminal a failure is red; elsewhere there are no colours, and no event can make any."""
        event = Event("n-1", "job", {"id": "J1", "status": "failed", "reason": "x\x1b[31m\n[red]y"})
        for colours in (True, False):
            shown = line(event, Screen(width=20, colours=colours))
            self.assertEqual("\x1b[1;31mfailed" in shown, colours)
            self.assertEqual("\x1b" in shown, colours)
            self.assertNotIn("\x1b[31m", shown)
            self.assertNotIn("\n", shown)
            self.assertIn("[red]y", shown)


class TailTests(EventsTestCase):
    """The command, in a process of its own."""

    token = "t0ken"
    timeout = 180

    def start(self, *words: str, url: str | None = None, token: str = "t0ken") -> tuple[Program, Any]:
        """Start `copilot-socket tail`."""
        address = url or f"http://127.0.0.1:{self.number}"
        arguments = [beside_python("copilot-socket"), "tail", "--url", address, *words]
        program, process = run_program(arguments, {"COPILOT_HTTP_TOKEN": token, "TZ": "UTC"}, Path.cwd())

        def stop() -> "Deferred[int] | None":
            if program.running:
                os.kill(process.pid, signal.SIGKILL)
            return program.ended

        self.addCleanup(stop)
        return program, process

    async def lines(self, program: Program, count: int) -> list[str]:
        """The first *count* lines that it printed."""

        def look() -> list[str] | None:
            assert program.running, program.err
            found = program.out.decode().splitlines()
            return found if program.out.endswith(b"\n") and len(found) >= count else None

        found: list[str] = await until(look, f"{count} lines are printed")
        return found

    async def test_json(self) -> None:
        """For programs: an object per line, flushed; Ctrl-C ends it with status 0."""
        program, process = self.start("--json", "--types", "job,heartbeat", "--crawler", "C1")
        await self.watched()
        beats = [LiveEvent("heartbeat", {"id": "k", "crawler_id": name}) for name in ("c2", "C1")]
        await self.tell(FAILED, *beats)
        first, second = map(json.loads, await self.lines(program, 2))
        self.assertEqual((first["type"], first["data"]["status"]), ("job", "failed"))
        self.assertEqual(second["type"], "heartbeat")
        self.assertEqual([each["id"].partition(".")[2] for each in (first, second)], ["1", "3"])
        os.kill(process.pid, signal.SIGINT)
        self.assertEqual((await program.ended, program.err), (0, b""))
        await until(lambda: not self.feed.streams, "its stream is closed")

    async def test_people(self) -> None:
        """For people: a line each, with control characters escaped."""
        program, _ = self.start("--account-id", "acme", "--status", "failed,assigned")
        await self.watched()
        whose = {"crawler_id": "C1", "account_id": "acme"}
        claimed = job("J1", "claim", status="assigned", command="issues", full_path="g/p", **whose)
        await self.tell(claimed, job("J1", "job_progress", progress={"processed": 1}, **whose), FAILED)
        sent, failed = await self.lines(program, 2)
        self.assertEqual(sent[8:], "  job         assigned            J1  claim  crawler C1  issues g/p")
        self.assertEqual(failed[8:], "  job         failed              J1  job_failed  crawler C1  it broke\\x1b[2J")

    async def test_comes_back(self) -> None:
        """When the connection ends, it says so and connects again."""
        program, _ = self.start("--json")
        await self.watched()
        for stream in list(self.feed._streams):
            stream.end()
            self.feed._gone(stream)
        await self.watched()
        await self.tell(FAILED)
        await self.lines(program, 1)
        self.assertIn("the node ended the stream; trying again in 1 s", program.err.decode())

    async def test_refused(self) -> None:
        """An unreachable node, a wrong token and an unknown filter end it with a message."""
        nowhere = f"http://127.0.0.1:{free_port()}"
        for words, more, expected in (
            ((), {"token": "wrong"}, "COPILOT_HTTP_TOKEN"),
            ((), {"url": nowhere}, f"no answer from {nowhere}"),
            (("--status", "failed", "--job-id", "x" * 300), {}, "?job_id: must be a string of 1 to 255 bytes"),
        ):
            program, _ = self.start(*words, **more)
            self.assertEqual(await program.ended, 1)
            self.assertEqual(program.out, b"")
            self.assertIn(expected, program.err.decode())
            self.assertNotIn("wrong\n", program.err.decode())


class FollowTests(SynchronousTestCase):
    """Reconnecting to a scripted server."""

    def follow(self, *answers: tuple[int, bytes]) -> Iterator[Event]:
        """The events from a server that gives these answers in turn, and then none."""
        self.waits: list[float] = []
        self.last_ids: list[str | None] = []
        left = iter(answers)
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(left, self.last_ids))
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.patch(sys, "stderr", io.StringIO())
        return tail.follow(Node(f"http://127.0.0.1:{server.server_port}"), tail.EVENTS, self.waits.append)

    def test_back_off(self) -> None:
        """The pauses grow up to a limit, and start again after a connection."""
        event = b"data: {}\n\n"
        found = self.follow((200, event), *[(502, b"no")] * 7, (200, event), (200, event))
        self.assertEqual(len(list(islice(found, 3))), 3)
        self.assertEqual(self.waits, [1, 2, 4, 8, 16, 30, 30, 30, 1])

    def test_goes_on(self) -> None:
        """After a connection was lost, the node is told the last event, and sends what has come since."""
        event = b"id: 7.%d\ndata: {}\n\n"
        found = self.follow((200, event % 1 + b"data: {}\n\n"), (502, b"no"), (200, event % 2), (200, event % 3))
        self.assertEqual(len(list(islice(found, 4))), 4)
        self.assertEqual(self.last_ids, [None, "7.1", "7.1", "7.2"])

    def test_torn(self) -> None:
        """An incomplete event is dropped."""
        found = self.follow(
            (200, b'data: {"a": 1}\n\ndata: {"a"'), (200, b"data: {\n\n"), (200, b'data: {"a": 2}\n\n')
        )
        self.assertEqual([event.data["a"] for event in islice(found, 2)], [1, 2])

    def test_refused_later(self) -> None:
        """A refusal after a reconnect ends the command."""
        found = self.follow((200, b"data: {}\n\n"), (503, b""), (401, b"{}"))
        next(found)
        error = self.assertRaises(Refused, next, found)
        self.assertEqual((error.status, self.waits), (401, [1, 2]))

    def test_refused_at_first(self) -> None:
        """If the first request meets a stopping node, the command ends."""
        error = self.assertRaises(Refused, next, self.follow((503, b"")))
        self.assertEqual((error.status, self.waits), (503, []))


def _handler(answers: "Iterator[tuple[int, bytes]]", last_ids: "list[str | None]") -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            last_ids.append(self.headers["Last-Event-ID"])
            status, body = next(answers)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    return Handler


class ArgumentTests(SynchronousTestCase):
    """The command line."""

    def test_query(self) -> None:
        """Only the given filters are in the request, and what is stored of events unless other types are given."""
        asked: list[str] = []

        def follow(_node: Node, path: str) -> Iterator[Event]:
            asked.append(path)
            raise KeyboardInterrupt

        self.patch(tail, "follow", follow)
        for words, path in (
            ([], "/api/v1/events?types=" + "%2C".join(TYPES)),
            (["--job-id", "J&1", "--types", "job"], "/api/v1/events?types=job&job_id=J%261"),
        ):
            self.assertEqual(tail.run(parse(["tail", *words, "--url", "http://x"])), 0)
            self.assertEqual(asked.pop(), path)
