"""A made-up GitLab in the test's process, and what waits for processes."""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.trial.unittest import TestCase
from twisted.web.server import Site

from copilot_socket.demo.gitlab import GitLab
from copilot_socket.demo.oauth import TokenBook
from copilot_socket.demo.world import generate


class QuietSite(Site):
    """No access log."""

    noisy = False

    def log(self, request: object) -> None:
        """Nothing."""


def serve_gitlab(test: TestCase, size: str = "tiny", latency: float = 0.0) -> tuple[GitLab, str]:
    """A made-up GitLab till the end of *test*, and its URL."""
    gitlab = GitLab(generate(1, 1, size), TokenBook(reactor.seconds), reactor, latency)
    port = reactor.listenTCP(0, QuietSite(gitlab), interface="127.0.0.1")
    test.addCleanup(port.stopListening)
    return gitlab, f"http://127.0.0.1:{port.getHost().port}"


class Process(ProcessProtocol):
    """A Python module as a process, killed at the end of the test."""

    def __init__(self, test: TestCase, module: str, *arguments: str) -> None:
        self.errors = b""
        self.events: list[dict[str, Any]] = []
        self._part = b""
        self.ended: Deferred[int | None] = Deferred()
        command = [sys.executable, "-m", module, *arguments]
        path = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2])}
        self._process = reactor.spawnProcess(self, sys.executable, command, env=path)
        test.addCleanup(self.stop, "KILL")

    def outReceived(self, data: bytes) -> None:
        """Lines of JSON."""
        *lines, self._part = (self._part + data).split(b"\n")
        self.events.extend(json.loads(line) for line in lines)

    def errReceived(self, data: bytes) -> None:
        """For the one who looks for a fault."""
        self.errors += data

    def processEnded(self, reason: Any) -> None:
        """It is over."""
        self.ended.callback(reason.value.exitCode)

    def stop(self, signal: str = "TERM") -> "Deferred[int | None]":
        """End it; fires with its exit status."""
        with suppress(ProcessExitedAlready):
            self._process.signalProcess(signal)
        done: Deferred[int | None] = Deferred()

        def ended(status: int | None) -> int | None:
            done.callback(status)
            return status

        self.ended.addCallback(ended)
        return done
