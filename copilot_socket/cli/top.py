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
_STATS = "/api/v1/stats"
_MOST = 1000
_AGAIN = 5.0
"""Seconds between two readings of the counts."""
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
    begin(view, *state(node))
    with FullScreen() as full, contextlib.suppress(KeyboardInterrupt, EOFError):
        changes: SimpleQueue[Change] = SimpleQueue()

        def put(change: Change) -> None:
            changes.put(change)
            full.wake()

        for work in (_follow, _count):
            Thread(target=work, args=(node, put), daemon=True).start()
        _show(view, full, changes, str(node.socket or node.url))
    return 0


def state(node: Node) -> tuple[Event, list[Any]]:
    """The state of things, as the ``snapshot`` of a stream, and the jobs that crawlers hold."""
    stats = node.request("GET", _STATS)
    crawlers = node.request("GET", with_query("/api/v1/crawlers", {"connected": "true", "limit": _MOST}))
    held = {"status": ",".join(HELD), "limit": _MOST, "include": "progress"}
    jobs = node.request("GET", with_query("/api/v1/jobs", held))["jobs"]
    return Event(None, "snapshot", {**_counts(stats), "crawlers": crawlers["crawlers"]}), jobs


def _counts(stats: Any) -> dict[str, Any]:
    return {"counts": stats["jobs"], "queue": stats.get("queue")}


def begin(view: View, snapshot: Event, jobs: list[Any]) -> None:
    """Begin, or begin anew, with this state of things."""
    view.status = ""
    view.model.apply(snapshot, datetime.now(UTC))
    view.model.held(jobs)


def _follow(node: Node, put: Callable[[Change], None]) -> None:
    """Read the stream, in a thread of its own; what it brings is applied by the one that shows it."""

    def opened() -> None:
        found = state(node)
        put(lambda view: begin(view, *found))

    def tell(why: str) -> None:
        put(lambda view: setattr(view, "status", why))

    def apply(event: Event) -> Change:
        return lambda view: view.model.apply(event, datetime.now(UTC))

    try:
        for event in follow(node, EVENTS, tell=tell, opened=opened):
            put(apply(event))
            if event.type == "lost":
                with contextlib.suppress(Refused):  # the stream tells that the node is away
                    opened()
    except Exception as error:
        put(_raising(error))


def _count(node: Node, put: Callable[[Change], None]) -> None:
    """Read the counts now and then: events show changes, but not those of other nodes."""
    while True:
        time.sleep(_AGAIN)
        with contextlib.suppress(Refused):  # the stream tells that the node is away
            counts = _counts(node.request("GET", _STATS))
            put(lambda view, counts=counts: view.model.apply(Event(None, "counts", counts), datetime.now(UTC)))  # type: ignore[misc]


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
