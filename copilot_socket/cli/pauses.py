"""``copilot-socket pauses``: holds back everything, an account, a host, a command or a path, and lets it go again."""

import getpass
import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from copilot_socket.cli import several
from copilot_socket.cli.answers import add_answer_options, print_answer
from copilot_socket.cli.errors import CommandError, UsageError
from copilot_socket.cli.listing import Listing
from copilot_socket.cli.node import Node, segment
from copilot_socket.cli.options import add_action, add_examples, duration
from copilot_socket.cli.style import Screen, escaped
from copilot_socket.cli.tables import Column, Kind, text
from copilot_socket.core.origins import origin

PAUSES = "/api/v1/pauses"
SCOPES = ("everything", "account", "host", "command", "path", "path_prefix")
_LISTING = Listing(
    PAUSES,
    "pauses",
    (
        Column("id", Kind.NAME),
        Column("scope"),
        Column("target", Kind.PATH),
        Column("reason"),
        Column("author"),
        Column("created_at", Kind.TIME),
        Column("ends_at", Kind.TIME),
    ),
    "No pauses: nothing is held back by hand",
)
_ID = re.compile("[0-9A-Za-z]{26}")


def add_arguments(parser: ArgumentParser) -> None:
    """The actions of ``pauses``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _LISTING.add_to(actions, "list the pauses in force, oldest first", "copilot-socket pauses list")
    add = add_action(actions, "add", "hold back what a scope covers; jobs that run go on")
    add_answer_options(add)
    _add_scope(add)
    add.add_argument("--reason", help="why, for others to read")
    end = add.add_mutually_exclusive_group()
    end.add_argument("--for", dest="lasts", type=duration, metavar="TIME", help="30s, 15m, 2h or 7d")
    end.add_argument("--until", metavar="TIME", help="ISO-8601 with zone")
    add_examples(
        add,
        "copilot-socket pauses add everything --reason 'database maintenance' --for 2h",
        "copilot-socket pauses add host https://gitlab.example.com",
        "copilot-socket pauses add path acme/shop",
    )
    ending = add_action(actions, "end", "let go what pauses hold back")
    several.add_names(ending, "PAUSE")
    ending.usage = f"{ending.prog} [-h] [--url URL] [--json] (PAUSE [PAUSE ...] | SCOPE [TARGET])"
    add_examples(
        ending,
        "copilot-socket pauses end everything",
        "copilot-socket pauses end account me",
        "copilot-socket pauses end 01JD0000000000000000000000",
    )
    add_examples(parser, "copilot-socket pauses list", "copilot-socket pauses add --help")


def _add_scope(parser: ArgumentParser) -> None:
    parser.add_argument("scope", choices=SCOPES, metavar="SCOPE", help=", ".join(SCOPES[:-1]))
    parser.add_argument("target", nargs="?", metavar="TARGET", help="which account, host, command or path")


def run(args: Namespace) -> int:
    """Run the action and return the exit status. Raises CommandError or ConfigFaults."""
    if args.action == "list":
        return _LISTING.run(args)
    if args.action == "add":
        return print_answer(args, lambda node: _add(node, args), _added)
    if args.id[0] in SCOPES:
        return print_answer(args, lambda node: _end(node, _find(node, args.id)), _ended)
    for name in args.id:
        if not _ID.fullmatch(name):
            given = " ".join(args.id)
            raise UsageError(f"{given}: must be ids of pauses, or {', '.join(SCOPES[:-1])} and a target")
    return several.run(args, several.Act(_end, _ended))


def _add(node: Node, args: Namespace) -> Any:
    ends_at = args.until if args.lasts is None else (datetime.now(UTC) + args.lasts).isoformat()
    given = {
        "scope": _scope(args.scope),
        "target": args.target,
        "reason": args.reason,
        "author": _author(),
        "ends_at": ends_at,
    }
    return node.request("POST", PAUSES, {name: value for name, value in given.items() if value is not None})


def _author() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # of a container, often
        return f"uid {os.getuid()}"


def _end(node: Node, pause: str) -> Any:
    return node.request("DELETE", f"{PAUSES}/{segment(pause)}")


def _find(node: Node, given: Sequence[str]) -> str:
    """The id of the pause with this scope and target."""
    scope, target = _scope(given[0]), given[1] if len(given) > 1 else None
    if len(given) > 2:
        raise UsageError(f"{' '.join(given)}: must be a scope and one target")
    if scope == "path_prefix" and target is not None:
        target = target.strip("/")
    elif scope == "host" and target is not None:
        target = origin(target) or target
    for pause in _LISTING.all(node, {}):
        if pause["scope"] == scope and pause["target"] == target:
            return str(pause["id"])
    raise CommandError(f"no such pause: {' '.join(given)} (copilot-socket pauses list)")


def _scope(given: str) -> str:
    return "path_prefix" if given == "path" else given


def _added(answer: Any, _on: Screen) -> list[str]:
    lines = [escaped(f"{answer['id']}  {_covered(answer)} is paused")]
    if answer["waiting_for_nodes"]:
        nodes = ", ".join(answer["waiting_for_nodes"])
        lines.append(escaped(f"not confirmed by {nodes}: jobs may still go out there"))
    return list(lines)


def _ended(answer: Any, _on: Screen) -> list[str]:
    return [escaped(f"{answer['id']}  {_covered(answer)} goes on")]


def _covered(pause: Any) -> str:
    return f"{pause['scope'].replace('_', ' ')} {text(pause['target']) if pause['target'] else ''}".rstrip()
