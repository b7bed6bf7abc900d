"""``copilot-socket tail``: prints live events."""

import argparse
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException

import attrs

from copilot_socket.cli.answers import add_answer_options
from copilot_socket.cli.event_lines import line
from copilot_socket.cli.filters import add_list_options, query
from copilot_socket.cli.node import Node, Refused, node_from, with_query
from copilot_socket.cli.options import add_examples
from copilot_socket.cli.output import complain, emit_line, exit_with_reader, say, screen, standard_output
from copilot_socket.cli.sse import Event, events

EVENTS = "/api/v1/events"
SILENCE = 45.0
"""Seconds without data after which a connection counts as dead; keep-alives come every 15 s."""
WAIT_FIRST, WAIT_MOST = 1.0, 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_list_options(parser, EVENTS)
    add_answer_options(parser)
    add_examples(
        parser,
        "copilot-socket tail",
        "copilot-socket tail --types job --status failed,waiting_credential",
        "copilot-socket tail --account-id me --json",
    )


def run(args: argparse.Namespace) -> int:
    """Print events until Ctrl-C, then return 0. Raises CommandError or ConfigFaults."""
    from copilot_socket.core.live_events import TYPES  # noqa: PLC0415 - parsing a command line does not need it

    path = with_query(EVENTS, {"types": ",".join(TYPES), **query(args)})
    on = screen()
    exit_with_reader()
    try:
        for event in follow(node_from(args), path):
            if args.json:
                emit_line(attrs.asdict(event))
            else:
                say(line(event, on))
                standard_output.flush()
    except KeyboardInterrupt:
        return 0
    return 1  # not reached: follow() never ends


def follow(
    node: Node,
    path: str,
    sleep: Callable[[float], None] = time.sleep,
    tell: Callable[[str], None] = complain,
    opened: Callable[[], None] = lambda: None,
) -> Iterator[Event]:
    """The events at *path*, without end; it reconnects, and goes on behind the last event.

    *opened* is called when a connection is made, *tell* with the reason when one is lost. Raises :class:`Refused` if
    the first connection fails, or for a status below 500.
    """
    wait, reached = WAIT_FIRST, False
    last: str | None = None
    while True:
        try:
            with node.stream(path, SILENCE, {} if last is None else {"Last-Event-ID": last}) as stream:
                reached, wait = True, WAIT_FIRST
                opened()
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
        tell(f"{why}; trying again in {wait:g} s")
        sleep(wait)
        wait = min(2 * wait, WAIT_MOST)
