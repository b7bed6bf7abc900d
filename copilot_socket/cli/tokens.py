"""``copilot-socket tokens``: makes, lists and revokes tokens of the HTTP API."""

from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from typing import Any

from copilot_socket.cli import several
from copilot_socket.cli.answers import add_answer_options, print_answer
from copilot_socket.cli.listing import Listing
from copilot_socket.cli.node import Node, segment
from copilot_socket.cli.options import add_action, add_examples, duration
from copilot_socket.cli.style import Screen, escaped
from copilot_socket.cli.tables import Column, Kind, text
from copilot_socket.core.access import ROLES

TOKENS = "/api/v1/tokens"
_LISTING = Listing(
    TOKENS,
    "tokens",
    (
        Column("name", Kind.NAME),
        Column("role"),
        Column("accounts"),
        Column("users"),
        Column("last_used_at", Kind.TIME),
        Column("expires_at", Kind.TIME),
        Column("created_at", Kind.TIME),
        Column("created_by"),
    ),
    "No tokens but that of the configuration (copilot-socket token)",
)


def add_arguments(parser: ArgumentParser) -> None:
    """The actions of ``tokens``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _LISTING.add_to(
        actions, "list tokens, when each was last used, and when it expires", "copilot-socket tokens list"
    )
    add = add_action(actions, "add", "make a token and print it: it is stored nowhere")
    add_answer_options(add)
    add.add_argument("name", metavar="NAME", help="who uses it; refusals and changes are recorded under this name")
    add.add_argument("--role", choices=ROLES, required=True, help="what it may do; each includes those before it")
    add.add_argument(
        "--account-id", dest="accounts", action="append", metavar="ACCOUNT", help="limit an app's token (repeatable)"
    )
    add.add_argument(
        "--user-id", dest="users", action="append", metavar="USER", help="limit it to jobs of a user (repeatable)"
    )
    end = add.add_mutually_exclusive_group()
    end.add_argument("--for", dest="lasts", type=duration, metavar="TIME", help="expires after 2h or 90d")
    end.add_argument("--until", metavar="TIME", help="expires at this ISO-8601 time with zone")
    add_examples(
        add,
        "copilot-socket tokens add grafana --role read --for 90d",
        "copilot-socket tokens add web-application --role app --account-id me",
    )
    revoke = add_action(actions, "revoke", "accept tokens no more, nor the sessions made with them")
    several.add_names(revoke, "NAME")
    add_examples(revoke, "copilot-socket tokens revoke grafana")
    add_examples(parser, "copilot-socket tokens list", "copilot-socket tokens add --help")


def run(args: Namespace) -> int:
    """Run the action and return the exit status. Raises CommandError or ConfigFaults."""
    if args.action == "list":
        return _LISTING.run(args)
    if args.action == "add":
        return print_answer(args, lambda node: _add(node, args), _added)
    return several.run(args, several.Act(_revoke, _revoked, key="name"))


def _add(node: Node, args: Namespace) -> Any:
    given = {
        "name": args.name,
        "role": args.role,
        "accounts": args.accounts,
        "users": args.users,
        "expires_at": args.until if args.lasts is None else (datetime.now(UTC) + args.lasts).isoformat(),
    }
    return node.request("POST", TOKENS, {name: value for name, value in given.items() if value is not None})


def _revoke(node: Node, name: str) -> Any:
    return node.request("DELETE", f"{TOKENS}/{segment(name)}")


def _added(answer: Any, _on: Screen) -> list[str]:
    return [escaped(answer["token"])]


def _revoked(answer: Any, _on: Screen) -> list[str]:
    return [escaped(f"{text(answer['name'])}: revoked")]
