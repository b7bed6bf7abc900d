"""A demo for a running node: a made-up GitLab, and a reference crawler that crawls it repeatedly.

``python -m copilot_socket.demo.beside --server URL --socket PATH`` creates the account ``demo`` and submits a
discovery at an interval, until it is stopped. ``COPILOT_HTTP_TOKEN`` is the server's. The made-up GitLab listens on
loopback, so the node must be on the same machine, or in the same network namespace.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, react
from twisted.internet.threads import deferToThread
from twisted.logger import Logger, globalLogBeginner, textFileLogObserver
from twisted.python.failure import Failure
from twisted.web.server import Site

from copilot_socket.clock import make_steady
from copilot_socket.demo.asking import NoAnswer, ask
from copilot_socket.demo.crawler import make_crawler
from copilot_socket.demo.gitlab import GitLab
from copilot_socket.demo.oauth import Pair, TokenBook
from copilot_socket.demo.world import SHAPES, generate

ACCOUNT = "demo"
SERVER = "http://127.0.0.1:3000"
TOKEN = "COPILOT_HTTP_TOKEN"


class Refused(Exception):
    """The server refused a request, or did not answer."""


@attrs.frozen
class Server:
    """A node's HTTP port. Its methods block."""

    url: str
    token: str | None = attrs.field(repr=False)

    def put_account(self, gitlab_url: str, pair: Pair) -> None:
        """Create the account, or replace its tokens after a restart of the GitLab. Raises :class:`Refused`."""
        document = {
            "provider": "gitlab-onprem",
            "gitlab_url": gitlab_url,
            "access_token": pair.access_token,
            "refresh_token": pair.refresh_token,
            # Deliberately wrong: the first crawler gets a 401 and requests a new token.
            "token_expires_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds"),
        }
        self._ask(f"/api/v1/accounts/{ACCOUNT}", "PUT", document)

    def discover(self) -> None:
        """Submit a discovery, which has no effect while one is live. Raises :class:`Refused`."""
        self._ask("/api/v1/jobs", "POST", {"account_id": ACCOUNT, "command": "GROUP_PROJECT_DISCOVERY"})

    def _ask(self, path: str, method: str, document: dict[str, str]) -> None:
        try:
            answer = ask(self.url + path, method=method, document=document, token=self.token)
        except NoAnswer as problem:
            raise Refused(str(problem)) from problem
        if answer.status not in (200, 201):
            raise Refused(f"{method} {path} returned {answer.status}: {answer.body}")


class Demo:
    """Runs the demo. *every*: seconds between discoveries; *out*: the crawler's output directory."""

    log = Logger("copilot_socket.demo")

    def __init__(self, reactor: Any, server: Server, out: Path, size: str, every: float) -> None:
        self._reactor = reactor
        self._server = server
        self._out = out
        self._every = every
        self._tokens = TokenBook(time.time)
        self._gitlab = GitLab(generate(groups=1, size=size), self._tokens, reactor)

    async def run(self, socket: str) -> None:
        """Run until the reactor stops. Raises :class:`Refused` if the server does not accept the account."""
        port = self._reactor.listenTCP(0, Site(self._gitlab), interface="127.0.0.1")
        pair = self._tokens.issue(expired=True)
        await deferToThread(self._server.put_account, f"http://127.0.0.1:{port.getHost().port}", pair)
        crawler = make_crawler(self._reactor, socket, self._out, f"demo-{os.getpid()}")
        self._reactor.addSystemEventTrigger("before", "shutdown", crawler.stopService)
        crawler.startService()
        rounds = LoopingCall(lambda: Deferred.fromCoroutine(self._round()))
        rounds.clock = self._reactor
        rounds.start(self._every).addErrback(
            lambda failure: self.log.failure("The periodic discovery stopped", failure)
        )
        await crawler.finished

    async def _round(self) -> None:
        await deferToThread(forget_old, self._out, self._every)
        try:
            await deferToThread(self._server.discover)
        except Refused as problem:
            self.log.warn("{problem}; retrying in the next round", problem=problem)


def forget_old(out: Path, age: float) -> None:
    """Remove output files older than *age* seconds."""
    for path in out.rglob("*"):
        if path.is_file() and path.stat().st_mtime < time.time() - age:
            path.unlink(missing_ok=True)


def _give_up(failure: Failure) -> NoReturn:
    """Exit with status 1 and a message, without a traceback, if the server refused."""
    failure.trap(Refused)
    raise SystemExit(f"the demo can't start: {failure.value}")


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(prog="copilot_socket.demo.beside", description=__doc__)
    parser.add_argument("--server", default=SERVER, help=f"the node's HTTP port (default: {SERVER})")
    parser.add_argument("--socket", required=True, help="path of the node's UNIX socket")
    parser.add_argument("--size", choices=tuple(SHAPES), default="small", help="how much is crawled (default: small)")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between discoveries (default: 60)")
    arguments = parser.parse_args()
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    out = Path(tempfile.mkdtemp(prefix="copilot-demo-"))
    server = Server(arguments.server, os.environ.get(TOKEN) or None)

    def run(reactor: Any) -> "Deferred[None]":
        make_steady(reactor)
        demo = Demo(reactor, server, out, arguments.size, arguments.every)
        return Deferred.fromCoroutine(demo.run(arguments.socket)).addErrback(_give_up)

    try:
        react(run)
    finally:
        shutil.rmtree(out, ignore_errors=True)


if __name__ == "__main__":
    main()
