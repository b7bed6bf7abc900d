"""Commands whose output can't be written, or whose reader closes it."""

import json
import os
import subprocess
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.cli.node import Node, Refused
from copilot_socket.cli.style import Screen
from copilot_socket.cli.tables import Column, table
from tests.cli.support import CommandTestCase
from tests.support.server import beside_python

EVIL = "a\x1b]0;owned\x07\r\x9b31m\u202e\nb"
SHOWN = "a\\x1b]0;owned\\x07\\r\\x9b31m\\u202e\\nb"


class Told:
    """How a command in a shell ended."""

    def __init__(self, process: "subprocess.CompletedProcess[bytes]") -> None:
        *errors, status = process.stderr.decode().splitlines()
        self.status = int(status)
        self.errors = errors
        self.output = process.stdout


class ShellTestCase(SynchronousTestCase):
    """Commands in a shell, against a server that answers what the test says."""

    def setUp(self) -> None:
        self.documents: dict[str, Any] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def shell(self, line: str, environ: Mapping[str, str] = os.environ) -> Told:
        """Run *line* with `copilot-socket` as this checkout's; the exit status of its first program."""
        path = f"{Path(beside_python('copilot-socket')).parent}:/usr/bin:/bin"
        known = ("LANG", "LC_ALL", "PYTHONIOENCODING", "PYTHONUNBUFFERED")
        kept = {name: environ[name] for name in known if name in environ}
        script = f"{line}; echo ${{PIPESTATUS[0]}} >&2"
        return Told(
            subprocess.run(
                ["/bin/bash", "-c", script],
                env={**kept, "PATH": path, "URL": self.url, "HOME": "/nonexistent"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=60,
                check=False,
                cwd=Path.cwd(),
            )
        )


def _handler(test: ShellTestCase) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            test.asked.append((self.path, self.headers.get("Authorization")))
            status, headers, body = test.documents[self.path.partition("?")[0]]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()
            while status == 200 and self.path.startswith("/api/v1/events"):
                if test.server._BaseServer__shutdown_request:  # type: ignore[attr-defined]
                    return
                self.connection.settimeout(0.05)
                try:
                    if not self.connection.recv(1):
                        return
                except TimeoutError:
                    continue

        def log_message(self, *_args: object) -> None:
            pass

    return Handler


class UnwritableTests(ShellTestCase):
    """Standard output that can't be written to."""

    def test_full_or_closed(self) -> None:
        """One line says why, and the exit status is 1, for answers and for help, buffered or not."""
        for command in ("keys new", "keys new --json", "--help", "keys --help", "keys new --help", "--version"):
            for redirection, said in (
                (">/dev/full", "can't write to standard output: No space left on device"),
                (">&-", "standard output is closed"),
            ):
                for environ in ({}, {"PYTHONUNBUFFERED": "1"}):
                    result = self.shell(f"copilot-socket {command} {redirection}", environ)
                    line = f"{command} {redirection} {environ}"
                    self.assertEqual((result.status, result.errors), (1, [f"copilot-socket: {said}"]), line)

    def test_closed_beforehand(self) -> None:
        """If standard output is closed, a command does nothing: it sends no request."""
        for command in ("tail", "jobs list", "jobs submit demo issues a/b"):
            result = self.shell(f"copilot-socket {command} --url $URL >&-")
            self.assertEqual(
                (result.status, result.errors), (1, ["copilot-socket: standard output is closed"]), command
            )
        self.assertEqual(self.asked, [])

    def test_help_that_nobody_reads(self) -> None:
        """If the reader has gone before the help is written, the exit status is 1, without a message."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, writer)
        os.close(reader)
        for command in ("--help", "keys new --help", "--version"):
            line = [beside_python("copilot-socket"), *command.split()]
            result = subprocess.run(line, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
            self.assertEqual((result.returncode, result.stderr), (1, b""), command)

    def test_errors_that_cannot_be_reported(self) -> None:
        """If standard error can't be written to either, the exit status remains."""
        for redirections in (">&- 2>&-", ">/dev/full 2>/dev/full", "2>/dev/full <&-"):
            result = self.shell(f"(copilot-socket jobs submit --file - --url $URL {redirections})")
            self.assertEqual(result.errors, [], redirections)
            self.assertEqual(result.status, 1, redirections)

    def test_reader_that_leaves(self) -> None:
        """`… | head` prints no error, however long the output."""
        jobs = [dict.fromkeys(_JOB, "x" * 200) for _ in range(2000)]
        self.documents["/api/v1/jobs"] = (200, {}, _json({"jobs": jobs, "next": None}))
        for option in ("", "--json"):
            for environ in ({}, {"PYTHONUNBUFFERED": "1"}):
                result = self.shell(f"copilot-socket jobs list --url $URL {option} | head -1", environ)
                self.assertEqual((result.status, result.errors), (1, []), f"{option} {environ}")
                self.assertEqual(len(result.output.splitlines()), 1)

    def test_tail_ends_with_its_reader(self) -> None:
        """`tail | head -1` ends after its line, without another event, in the foreground and in the background."""
        event = b'id: n-1\nevent: job\ndata: {"id": "J1", "status": "failed"}\n\n'
        self.documents["/api/v1/events"] = (200, {}, event)
        for line in (
            "copilot-socket tail --url $URL | head -1",
            "copilot-socket tail --json --url $URL | head -1",
            "(copilot-socket tail --url $URL | head -1) & wait",
        ):
            result = self.shell(line)
            self.assertEqual(result.errors, [], line)
            self.assertIn(b"J1", result.output)

    def test_ascii(self) -> None:
        """With an ASCII terminal other characters are escaped."""
        job = dict.fromkeys(_JOB, "Größe →")
        self.documents["/api/v1/jobs"] = (200, {}, _json({"jobs": [job], "next": None}))
        event = 'id: n-1\nevent: job\ndata: {"id": "Größe →", "status": "failed"}\n\n'.encode()
        self.documents["/api/v1/events"] = (200, {}, event)
        environ = {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
        for line in ("jobs list --url $URL", "tail --url $URL | head -1"):
            result = self.shell(f"copilot-socket {line}", environ)
            self.assertEqual(result.errors, [])
            self.assertIn(b"Gr\\xf6\\xdfe \\u2192", result.output)


_JOB = ("id", "status", "command", "full_path", "branch", "account_id", "tries", "failures", "updated_at", "cause")


def _json(document: Any) -> bytes:
    """A document in UTF-8."""
    return json.dumps(document, ensure_ascii=False).encode()


class EscapedTests(ShellTestCase):
    """Texts from crawlers and other programs."""

    def test_lines(self) -> None:
        """Control characters are escaped in tables, errors and live events; JSON stays valid."""
        job = dict.fromkeys(_JOB, EVIL)
        self.documents["/api/v1/jobs"] = (200, {}, _json({"jobs": [job], "next": EVIL}))
        self.documents["/api/v1/jobs/x"] = (404, {}, _json({"title": EVIL, "detail": EVIL}))
        self.documents["/api/v1/jobs/y"] = (500, {}, b"no JSON")
        event = b"id: n-1\nevent: job\ndata: " + _json({"id": EVIL, "status": EVIL, "reason": EVIL}) + b"\n\n"
        self.documents["/api/v1/events"] = (200, {}, event)
        for line in ("jobs list", "jobs list --json", "jobs show x", "jobs show y", "tail | head -1"):
            result = self.shell(
                f"copilot-socket {line.replace(' |', ' --url $URL |') if '|' in line else line + ' --url $URL'}"
            )
            raw = result.output.decode() + "\n".join(result.errors)
            self.assertFalse({"\x1b", "\x07", "\r", "\x9b", "\u202e"} & set(raw), line)
            if line in ("jobs list", "jobs show x"):
                self.assertIn(SHOWN, raw)

    def test_cells(self) -> None:
        """Columns are as wide as what is shown."""
        rows = [{"a": EVIL, "b": None}, {"a": {"ä": 1}, "b": 7}]
        self.assertEqual(
            table([Column("a"), Column("b")], rows, Screen()),
            [f"a{' ' * (len(SHOWN) - 1)}  b", f"{SHOWN}  -", f"ä 1{' ' * (len(SHOWN) - 3)}  7"],
        )


class TokenTests(ShellTestCase):
    """Where the token is sent."""

    def test_redirections(self) -> None:
        """A redirection is not followed: it would leak the token."""
        for status in (301, 302, 303, 307, 308):
            self.documents["/api/v1/jobs"] = (status, {"Location": f"{self.url}/elsewhere"}, b"")
            error = self.assertRaises(Refused, Node(self.url, "t0ken").request, "GET", "/api/v1/jobs")
            self.assertIn(f"{self.url}/elsewhere", str(error))
        self.assertEqual(self.asked, [("/api/v1/jobs", "Bearer t0ken")] * 5)

    def test_planted_file(self) -> None:
        """A .env file that others may write to is used neither for the address nor for the token."""
        Path(".env.development").write_text(
            f"COPILOT_HTTP_PORT={self.server.server_port}\nCOPILOT_HTTP_TOKEN=t0ken\n"
        )
        self.addCleanup(Path(".env.development").unlink)
        Path(".env.development").chmod(0o666)
        result = self.shell("copilot-socket jobs list")
        self.assertEqual((result.status, self.asked), (1, []))
        self.assertIn("everyone may write to it", result.errors[0])


class TokenOfTests(CommandTestCase):
    """Which token is used with --url."""

    def test_other_faults_do_not_matter(self) -> None:
        """With --url the configuration may be faulty, but for the token, which may be in a file."""
        Path("token").write_text("t0ken\n")
        self.environ |= {"SOCKET_MODE": "9", "COPILOT_HTTP_TOKEN_FILE": "token"}
        outcome = self.run_command("jobs", "list", "--url", "http://127.0.0.1:1")
        self.assertIn("no answer from http://127.0.0.1:1", outcome.errors)
        self.environ["COPILOT_HTTP_TOKEN_FILE"] = "/nowhere"
        outcome = self.run_command("jobs", "list", "--url", "http://127.0.0.1:1")
        self.assertIn("COPILOT_HTTP_TOKEN_FILE is '/nowhere'", outcome.errors)
        self.assertNotIn("SOCKET_MODE", outcome.errors)
