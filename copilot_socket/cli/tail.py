"""``copilot-socket tail``: prints live events."""

import argparse
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from typing import TextIO, cast

import attrs
from rich.console import Console

from copilot_socket.cli.event_lines import EventLines
from copilot_socket.cli.node import Node, Refused, add_url_option, node_from, with_query
from copilot_socket.cli.options import add_examples
from copilot_socket.cli.output import add_json_option, complain, emit_line, exit_with_reader, standard_output
from copilot_socket.cli.sse import Event, events
from copilot_socket.core.live_events import TYPES as STORED

EVENTS = "/api/v1/events"
SILENCE = 45.0
"""Seconds without data after which a connection counts as dead; keep-alives come every 15 s."""
WAIT_FIRST, WAIT_MOST = 1.0, 30.0

FILTERS = {
    "types": f"of these types only, separated by commas: {', '.join(STORED)} (these are shown without the option), "
    "counts, snapshot",
    "job-id": "of this job only",
    "account-id": "of this account's jobs only",
    "user-id": "of this user's jobs only",
    "crawler": "of this crawler only",
    "status": "of jobs that enter one of these states; separated by commas",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    for name, text in FILTERS.items():
        parser.add_argument(f"--{name}", metavar=name.upper(), help=text)
    add_url_option(parser)
    add_json_option(parser)
    add_examples(
        parser,
        "copilot-socket tail",
        "copilot-socket tail --types job --status failed,waiting_credential",
        "copilot-socket tail --account-id me --json",
    )


def run(args: argparse.Namespace) -> int:
    """Print events until Ctrl-C, then return 0. Raises CommandError or ConfigFaults."""
    filters = {name: getattr(args, name) for name in (name.replace("-", "_") for name in FILTERS)}
    path = with_query(EVENTS, {**filters, "types": args.types or ",".join(STORED)})
    show = _as_json if args.json else EventLines(Console(file=cast(TextIO, standard_output)))
    exit_with_reader()
    try:
        for event in follow(node_from(args), path):
            show(event)
    except KeyboardInterrupt:
        return 0
    return 1  # not reached: follow() never ends


def follow(node: Node, path: str, sleep: Callable[[float], None] = time.sleep) -> Iterator[Event]:
    """The events at *path*, without end; it reconnects, and goes on behind the last event.

    Raises :class:`Refused` if the first connection fails, or for a status below 500.
    """
    wait, reached = WAIT_FIRST, False
    last: str | None = None
    while True:
        try:
            with node.stream(path, SILENCE, {} if last is None else {"Last-Event-ID": last}) as stream:
                reached, wait = True, WAIT_FIRST
                for event in events(stream):
                    last = event.id or last
                    yield event
            why = "the node ended the stream"
        except Refused as error:
            if not reached or (error.status is not None and error.status < 500):
                raise
            why = str(error)
        except (OSError, HTTPException, ValueError) as error:
            why = f"the connection is lost: {error or type(error).__name__}"
        complain(f"{why}; trying again in {wait:g} s")
        sleep(wait)
        wait = min(2 * wait, WAIT_MOST)


def _as_json(event: Event) -> None:
    emit_line(attrs.asdict(event))
