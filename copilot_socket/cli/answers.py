"""Asking a node and printing what it answers: once or again and again, for people or as JSON."""

import shlex
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from typing import Any

from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.node import Node, Refused, add_url_option, node_from
from copilot_socket.cli.output import add_json_option, complain, emit, emit_line, say, screen, standard_output
from copilot_socket.cli.style import DIM, Screen, Styled, cut, escaped
from copilot_socket.cli.tables import Column, table

Lines = Callable[[Any, Screen], Sequence[str]]
"""Makes the lines for people of an answer."""
_PERIOD = 2.0
"""Seconds between two looks."""
_BRIEF = 0.1


def add_answer_options(parser: ArgumentParser, *, watch: bool = False) -> None:
    """Add ``--url`` and ``--json``, which all commands have that ask a node, and ``--watch`` and ``--wide``."""
    add_url_option(parser)
    add_json_option(parser)
    if watch:
        parser.add_argument(
            "--watch",
            nargs="?",
            type=_seconds,
            const=_PERIOD,
            metavar="SECONDS",
            help="show it again every 2 s, or so many, until Ctrl-C",
        )
        parser.add_argument("--wide", action="store_true", help="cut nothing, and show times as they are")


def _seconds(given: str) -> float:
    try:
        found = float(given)
    except ValueError:
        found = 0
    if not _BRIEF <= found <= 86400:
        raise ArgumentTypeError(f"must be a number of seconds from {_BRIEF:g}, not {given!r}")
    return found


def print_answer(args: Namespace, request: Callable[[Node], Any], lines: Lines) -> int:
    """Call *request* with the node, print its answer as *lines* or, with --json, as JSON; return the exit status.

    With --json, the document of an error response is printed as it is. Raises CommandError and ConfigFaults.
    """
    node = node_from(args)
    if getattr(args, "watch", None) is not None:
        return _watch(args, lambda: request(node), lines)
    try:
        answer = request(node)
    except Refused as error:
        if not args.json or error.document is None:
            raise
        emit(error.document)
        return 1
    if args.json:
        emit(answer)
        return 0
    for line in shown(answer, lines, screen(wide=getattr(args, "wide", False))):
        say(line)
    return 0


def shown(answer: Any, lines: Lines, on: Screen) -> list[str]:
    """The lines of *answer*. Raises CommandError for one that a node of another version gives."""
    try:
        return list(lines(answer, on))
    except (KeyError, TypeError, AttributeError) as error:
        raise CommandError(
            f"the answer is none of a node of this version ({type(error).__name__}: {error})"
        ) from None


def _watch(args: Namespace, request: Callable[[], Any], lines: Lines) -> int:
    """Print again and again, until Ctrl-C. What fails after the first time is said, and tried again."""
    reached = False
    try:
        while True:
            try:
                answer = request()
                reached = True
            except Refused as error:
                if not reached or (error.status is not None and error.status < 500):
                    raise
                complain(f"{error}; trying again")
            else:
                _look(args, answer, lines)
            time.sleep(args.watch)
    except KeyboardInterrupt:
        return 0


def _look(args: Namespace, answer: Any, lines: Lines) -> None:
    if args.json:
        emit_line(answer)
        return
    on = screen(wide=args.wide)
    title = f"every {args.watch:g} s: copilot-socket {shlex.join(sys.argv[1:])}"
    found = [escaped(title), *shown(answer, lines, on)]
    if on.width is None or on.height is None:
        for line in [*found[1:], ""]:
            say(line)
    else:
        standard_output.write(frame(found, on))
    standard_output.flush()


def frame(lines: Sequence[str], on: Screen) -> str:
    """*lines*, the first of which is a title, over what the terminal shows; what does not fit is left out."""
    assert on.width is not None
    assert on.height is not None
    title, *rest = [each if isinstance(each, Styled) else escaped(each) for each in lines]
    room = on.height - 2
    if len(rest) > room:
        rest = [*rest[: room - 1], Styled(f"… and {len(rest) - room + 1} more lines")]
    kept = [on.paint(cut(title, on.width), DIM), *rest]
    return "\x1b[H" + "".join(f"{line}\x1b[K\n" for line in kept) + "\x1b[J"


def page(answer: Any, name: str, columns: Sequence[Column], empty: str, on: Screen) -> list[str]:
    """The list *name* of *answer* as a table, how to continue, and its total; *empty* if it has no rows."""
    rows = answer[name]
    found: list[str] = list(table(columns, rows, on)) if rows else [empty]
    if rows and answer["next"]:
        found.append(f"more: --cursor {answer['next']}")
    if "total" in answer:
        found.append(f"total: {'' if answer['total_exact'] else 'about '}{answer['total']:,}")
    return found
