"""``copilot-socket pauses``: holds back everything, an account, a host, a command or a path, and lets it go again."""

import getpass
import os
import re
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from typing import Any

from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.node import Node, add_url_option, print_answer, segment, with_query
from copilot_socket.cli.options import add_action, add_examples, add_page_options, duration
from copilot_socket.cli.output import add_json_option, cell, page
from copilot_socket.core.origins import origin

PAUSES = "/api/v1/pauses"
SCOPES = ("everything", "account", "host", "command", "path", "path_prefix")
_HEADINGS = ("id", "scope", "target", "author", "reason", "created_at", "ends_at")
_ID = re.compile("[0-9A-Za-z]{26}")


def add_arguments(parser: ArgumentParser) -> None:
    """The actions of ``pauses``."""
    common = ArgumentParser(add_help=False)
    add_url_option(common)
    add_json_option(common)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = add_action(actions, "list", "list the pauses in force", common)
    add_page_options(listing, "pauses")
    add_examples(listing, "copilot-socket pauses list")
    add = add_action(actions, "add", "hold back what a scope covers; jobs that run go on", common)
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
    ending = add_action(actions, "end", "let go what a pause holds back", common)
    ending.add_argument("scope", metavar="PAUSE", help="its id, or its scope and target as given to `add`")
    ending.add_argument("target", nargs="?", metavar="TARGET")
    add_examples(
        ending, "copilot-socket pauses end everything", "copilot-socket pauses end 01JD0000000000000000000000"
    )
    add_examples(parser, "copilot-socket pauses list", "copilot-socket pauses add --help")


def _add_scope(parser: ArgumentParser) -> None:
    parser.add_argument("scope", choices=SCOPES, metavar="SCOPE", help=", ".join(SCOPES[:-1]))
    parser.add_argument("target", nargs="?", metavar="TARGET", help="which account, host, command or path")


def run(args: Namespace) -> int:
    """Run the action and return the exit status. Raises CommandError or ConfigFaults."""
    return print_answer(args, lambda node: _ACTIONS[args.action](node, args), _PRINTED[args.action])


def _list(node: Node, args: Namespace) -> Any:
    return node.request("GET", with_query(PAUSES, {"limit": args.limit, "cursor": args.cursor}))


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


def _end(node: Node, args: Namespace) -> Any:
    if args.scope in SCOPES:
        pause = _find(node, args.scope, args.target)
    elif _ID.fullmatch(args.scope) and args.target is None:
        pause = args.scope
    else:
        given = " ".join(filter(None, (args.scope, args.target)))
        raise CommandError(f"{given}: must be a pause's id, or {', '.join(SCOPES[:-1])} and a target")
    return node.request("DELETE", f"{PAUSES}/{segment(pause)}")


def _find(node: Node, given: str, of: str | None) -> str:
    """The id of the pause with this scope and target."""
    scope, target = _scope(given), of
    if scope == "path_prefix" and target is not None:
        target = target.strip("/")
    elif scope == "host" and target is not None:
        target = origin(target) or target
    cursor = None
    while True:
        found = node.request("GET", with_query(PAUSES, {"limit": 1000, "cursor": cursor}))
        for pause in found["pauses"]:
            if pause["scope"] == scope and pause["target"] == target:
                return str(pause["id"])
        cursor = found["next"]
        if cursor is None:
            raise CommandError(f"no such pause: {given} {of or ''}".rstrip() + " (copilot-socket pauses list)")


def _scope(given: str) -> str:
    return "path_prefix" if given == "path" else given


def _listed(answer: Any) -> list[str]:
    return page(answer, "pauses", _HEADINGS, "No pauses: nothing is held back by hand")


def _added(answer: Any) -> list[str]:
    lines = [f"{answer['id']}  {_covered(answer)} is paused"]
    if answer["waiting_for_nodes"]:
        lines.append(f"not confirmed by {', '.join(answer['waiting_for_nodes'])}: jobs may still go out there")
    return lines


def _ended(answer: Any) -> list[str]:
    return [f"{answer['id']}  {_covered(answer)} goes on"]


def _covered(pause: Any) -> str:
    return f"{pause['scope'].replace('_', ' ')} {cell(pause['target']) if pause['target'] else ''}".rstrip()


_ACTIONS = {"list": _list, "add": _add, "end": _end}
_PRINTED = {"list": _listed, "add": _added, "end": _ended}
