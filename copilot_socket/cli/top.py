"""``copilot-socket top``: jobs, queue and crawlers live, on the whole terminal."""

import contextlib
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from datetime import UTC, datetime
from queue import SimpleQueue
from threading import Thread
from typing import Any

from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.node import Node, Refused, add_url_option, node_from, with_query
from copilot_socket.cli.options import add_examples
from copilot_socket.cli.output import screen, standard_output
from copilot_socket.cli.sse import Event
from copilot_socket.cli.tail import EVENTS, follow
from copilot_socket.cli.terminal import FullScreen
from copilot_socket.cli.top_model import HELD, Model
from copilot_socket.cli.top_view import View

Change = Callable[[View], None]
_MOST = 1000
_REDRAW, _STILL = 0.2, 1.0
"""Seconds between two drawings, at least and at most."""


def add_arguments(parser: ArgumentParser) -> None:
    """Which node."""
    add_url_option(parser)
    parser.description = (
        "Watch jobs, queue and crawlers live, on the whole terminal. Keys: s changes the order of the jobs, "
        "f filters by a text or NAME=VALUE, p stops and continues, q quits. For programs: tail --json, stats --watch."
    )
    add_examples(parser, "copilot-socket top", "copilot-socket top --url http://127.0.0.1:3001")


def run(args: Namespace) -> int:
    """Show it until ``q`` or Ctrl-C. Raises CommandError or ConfigFaults."""
    if not standard_output.isatty() or sys.stdin is None or not sys.stdin.isatty():
        raise CommandError(
            "top needs a terminal; elsewhere: copilot-socket stats --watch, copilot-socket tail --json"
        )
    node = node_from(args)
    view = View(Model())
    view.model.held(held(node))
    with FullScreen() as full, contextlib.suppress(KeyboardInterrupt, EOFError):
        changes: SimpleQueue[Change] = SimpleQueue()

        def put(change: Change) -> None:
            changes.put(change)
            full.wake()

        Thread(target=_follow, args=(node, put), daemon=True).start()
        _show(view, full, changes, str(node.socket or node.url))
    return 0


def held(node: Node) -> list[Any]:
    """The jobs that crawlers hold, which no snapshot has."""
    query = {"status": ",".join(HELD), "limit": _MOST, "include": "progress"}
    jobs: list[Any] = node.request("GET", with_query("/api/v1/jobs", query))["jobs"]
    return jobs


def _follow(node: Node, put: Callable[[Change], None]) -> None:
    """Read the stream, in a thread of its own; what it brings is applied by the one that shows it."""

    def say(status: str) -> None:
        put(lambda view: setattr(view, "status", status))

    def apply(event: Event) -> Change:
        return lambda view: view.model.apply(event, datetime.now(UTC))

    try:
        for event in follow(node, EVENTS, tell=say, opened=lambda: say("")):
            put(apply(event))
            if event.type == "snapshot":
                with contextlib.suppress(Refused):  # the stream tells that the node is away
                    put(_holding(held(node)))
    except Exception as error:
        put(_raising(error))


def _holding(jobs: list[Any]) -> Change:
    return lambda view: view.model.held(jobs)


def _raising(error: Exception) -> Change:
    def fail(_view: View) -> None:
        raise error

    return fail


def _show(view: View, full: FullScreen, changes: "SimpleQueue[Change]", address: str) -> None:
    drawn = 0.0
    while True:
        while not changes.empty():
            changes.get()(view)
        wait = drawn + _REDRAW - time.monotonic()
        if wait <= 0:
            full.show(list(view.lines(screen(), address)))
            drawn, wait = time.monotonic(), _STILL
        for key in full.keys(wait):
            drawn = 0.0
            if not view.press(key, datetime.now(UTC)):
                return
