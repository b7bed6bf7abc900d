"""``copilot-socket probe``: a hello, a job and its end through a running node, and how long each step took."""

import hashlib
import os
import signal
import socket
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from secrets import token_hex
from typing import Any, NoReturn

import attrs

from copilot_socket.cli.answers import add_answer_options
from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.node import Node, Refused, node_from, segment
from copilot_socket.cli.options import add_examples, duration
from copilot_socket.cli.output import emit, say, standard_output
from copilot_socket.cli.wire import Connection, WireError
from copilot_socket.config import from_environment

COMMAND = "probe"
_PATH = "copilot-socket/probe"
_URL = "http://probe.invalid"
"""A host that does not exist (RFC 6761): nobody is asked anything."""
_WITHIN = 10.0
_WIDTH = 12


def add_arguments(parser: ArgumentParser) -> None:
    """The node, its socket, and how long a step may take."""
    add_answer_options(parser)
    parser.add_argument("--socket", metavar="PATH", help="the crawlers' socket (default: SOCKET_PATH)")
    parser.add_argument(
        "--within", type=duration, metavar="TIME", help="how long each step may take, such as 30s (default: 10s)"
    )
    add_examples(parser, "copilot-socket probe", "copilot-socket probe --json --within 30s")


def run(args: Namespace) -> int:
    """Take all steps, and clean up; 0 only if all worked. Raises CommandError or ConfigFaults."""
    node, config = node_from(args), from_environment()
    within = _WITHIN if args.within is None else args.within.total_seconds()
    tokens = config.crawler_tokens
    probe = Probe(node, args.socket or config.socket_path, tokens[0] if tokens else None, within, quiet=args.json)
    signal.signal(signal.SIGTERM, _exit)
    error = None
    with _alone(probe.crawler):
        try:
            probe.go()
        except (Refused, WireError, OSError) as fault:
            error = str(fault) or type(fault).__name__
        finally:
            left = probe.clean_up()
    if args.json:
        emit({"ok": error is None and not left, "steps": probe.steps, "error": error, "left": left})
    elif error is not None:
        raise CommandError(f"{probe.doing} failed: {error}" + (f"\nnot cleaned up: {left}" if left else ""))
    elif left:
        raise CommandError(f"not cleaned up: {left}")
    else:
        say(f"{'all':<{_WIDTH}}{sum(step['milliseconds'] for step in probe.steps):9.1f} ms")
    return 0 if error is None and not left else 1


def crawler_of(path: str) -> str:
    """The ``crawlerId`` of this user's probes through the socket *path*, always the same: one row is enough."""
    place = hashlib.sha256(f"{os.getuid()} {path}".encode()).hexdigest()[:8]
    return f"copilot-probe-{socket.gethostname()[:64]}-{place}"


@contextmanager
def _alone(crawler: str) -> Iterator[None]:
    """Two probes with one id would be one crawler. The name is free again as soon as the process ends."""
    with socket.socket(socket.AF_UNIX) as lock:
        try:
            lock.bind(f"\0{crawler}")
        except OSError:
            raise CommandError("another probe of this node is under way") from None
        yield


def _exit(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


@attrs.define
class Probe:
    """One probe: what it has done, and what must be undone."""

    node: Node
    socket: str
    token: str | None = attrs.field(repr=False)
    within: float
    quiet: bool
    account: str = attrs.Factory(lambda: f"copilot-probe-{token_hex(6)}")
    steps: list[dict[str, Any]] = attrs.Factory(list)
    doing: str = "node"
    job: str | None = None
    _stored: bool = False
    _connection: Connection | None = None

    def go(self) -> None:
        """All steps. Raises Refused, WireError or OSError for the one that fails, which ``doing`` names."""
        self._step("ready", lambda: self.node.request("GET", "/health/ready"))
        self._step("account", self._store_account)
        crawler = self._step("connect", lambda: Connection(self.socket, self.within))
        self._connection = crawler
        self._step("hello", lambda: self._hello(crawler))
        self._step("request", lambda: crawler.ask("job_request", "job_response", {"limit": 1}))
        self._step("submit", self._submit)
        assignment = self._step("dispatch", lambda: self._await_job(crawler))
        self._step("started", lambda: crawler.report("job_started", assignment, {}))
        end = {"success": True, "finalCounts": {}}
        self._step("completed", lambda: crawler.report("job_completed", assignment, end))
        self._step("stored", self._check)

    def _step(self, name: str, work: Callable[[], Any]) -> Any:
        self.doing = name
        began = time.monotonic()
        found = work()
        milliseconds = round((time.monotonic() - began) * 1000, 1)
        self.steps.append({"step": name, "milliseconds": milliseconds})
        if not self.quiet:
            say(f"{name:<{_WIDTH}}{milliseconds:9.1f} ms")
            standard_output.flush()
        return found

    def _store_account(self) -> None:
        self._stored = True  # also if no answer arrives
        account = {"provider": "gitlab-onprem", "gitlab_url": _URL, "access_token": "no-token"}
        self.node.request("PUT", f"/api/v1/accounts/{self.account}", account, {"If-None-Match": "*"})

    @property
    def crawler(self) -> str:
        """Its ``crawlerId``."""
        return crawler_of(self.socket)

    def _hello(self, crawler: Connection) -> None:
        hello: Mapping[str, Any] = {
            "crawlerId": self.crawler,
            "maxJobs": 1,
            "entityTypes": [COMMAND],
            "assignments": [],
            "capabilities": ["ack"],
            **({} if self.token is None else {"token": self.token}),
        }
        crawler.ask("hello", "welcome", hello)

    def _submit(self) -> None:
        job = {"account_id": self.account, "command": COMMAND, "full_path": _PATH, "max_attempts": 1}
        self.job = self.node.request("POST", "/api/v1/jobs", job)["id"]

    def _await_job(self, crawler: Connection) -> str:
        """The assignment of the job that was submitted. If it does not come, the node says why."""
        while True:
            try:
                jobs = crawler.receive("job_response")["data"]["jobs"]
            except TimeoutError:
                why = self.node.request("GET", f"/api/v1/jobs/{segment(str(self.job))}/why")["sentence"]
                raise WireError(f"the job was not sent within {self.within:g} s. {why}") from None
            for each in jobs:
                if each["id"].partition(".")[0] == self.job:
                    return str(each["id"])

    def _check(self) -> None:
        status = self.node.request("GET", f"/api/v1/jobs/{segment(str(self.job))}")["status"]
        if status != "completed":
            raise WireError(f"the job is {status}, not completed")

    def clean_up(self) -> str | None:
        """Disconnect, and delete the account with its job; what could not be, and why."""
        if self._connection is not None:
            self._connection.close()
        if not self._stored:
            return None
        try:
            if self.job is not None:
                with suppress(Refused):  # it is over already, else
                    self.node.request("POST", f"/api/v1/jobs/{segment(self.job)}/cancel")
            self.node.request("DELETE", f"/api/v1/accounts/{self.account}")
        except Refused as error:
            return None if error.status == 404 else f"account {self.account}: {error}"
        return None
