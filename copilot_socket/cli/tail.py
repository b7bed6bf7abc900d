"""``copilot-socket tail``: what happens at a node, as it happens."""

import argparse
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from typing import TextIO, cast
from urllib.parse import urlencode

import attrs
from rich.console import Console

from copilot_socket.cli.event_lines import EventLines
from copilot_socket.cli.node import Node, Refused, add_url_option, node_from
from copilot_socket.cli.options import add_examples
from copilot_socket.cli.output import add_json_option, complain, emit_line, end_with_reader, standard_output
from copilot_socket.cli.sse import Event, events

EVENTS = "/api/v1/events"
SILENCE = 45.0
"""Seconds without even a keep-alive, of which there is one every 15 s, after which the connection counts as dead."""
WAIT_FIRST, WAIT_MOST = 1.0, 30.0

FILTERS = {
    "types": "of these types only: connection, heartbeat, job; separated by commas",
    "job-id": "of this job only",
    "account-id": "of this account's jobs only",
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
    """Show events until Ctrl-C, which is how this ends well. Raises CommandError or ConfigFaults."""
    names = [name.replace("-", "_") for name in FILTERS]
    query = {name: value for name in names if (value := getattr(args, name)) is not None}
    as_json = getattr(args, "json", False)
    show = _as_json if as_json else EventLines(Console(file=cast(TextIO, standard_output)))
    end_with_reader()
    try:
        for event in follow(node_from(args), EVENTS + (f"?{urlencode(query)}" if query else "")):
            show(event)
    except KeyboardInterrupt:
        return 0
    return 1  # not reached: events have no end


def follow(node: Node, path: str, sleep: Callable[[float], None] = time.sleep) -> Iterator[Event]:
    """The events at *path*, for ever. What happens while the connection is lost is not among them.

    Raises :class:`Refused` when the node can't be reached at first, or refuses for good.
    """
    wait, reached = WAIT_FIRST, False
    while True:
        try:
            with node.stream(path, SILENCE) as stream:
                reached, wait = True, WAIT_FIRST
                yield from events(stream)
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
