"""``copilot-socket tokens``: makes, lists and revokes tokens of the HTTP API."""

from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from typing import Any

from copilot_socket.cli.node import Node, add_url_option, print_answer, segment, with_query
from copilot_socket.cli.options import add_action, add_examples, add_page_options, duration
from copilot_socket.cli.output import add_json_option, cell, page
from copilot_socket.core.access import ROLES

TOKENS = "/api/v1/tokens"
_HEADINGS = ("name", "role", "accounts", "users", "created_at", "created_by", "last_used_at", "expires_at")


def add_arguments(parser: ArgumentParser) -> None:
    """The actions of ``tokens``."""
    common = ArgumentParser(add_help=False)
    add_url_option(common)
    add_json_option(common)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = add_action(actions, "list", "list tokens, when each was last used, and when it expires", common)
    add_page_options(listing, "tokens")
    add_examples(listing, "copilot-socket tokens list")
    add = add_action(actions, "add", "make a token and print it: it is stored nowhere", common)
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
    revoke = add_action(actions, "revoke", "accept a token no more, nor the sessions made with it", common)
    revoke.add_argument("name", metavar="NAME")
    add_examples(revoke, "copilot-socket tokens revoke grafana")
    add_examples(parser, "copilot-socket tokens list", "copilot-socket tokens add --help")


def run(args: Namespace) -> int:
    """Run the action and return the exit status. Raises CommandError or ConfigFaults."""
    return print_answer(args, lambda node: _ACTIONS[args.action](node, args), _PRINTED[args.action])


def _list(node: Node, args: Namespace) -> Any:
    return node.request("GET", with_query(TOKENS, {"limit": args.limit, "cursor": args.cursor}))


def _add(node: Node, args: Namespace) -> Any:
    given = {
        "name": args.name,
        "role": args.role,
        "accounts": args.accounts,
        "users": args.users,
        "expires_at": args.until if args.lasts is None else (datetime.now(UTC) + args.lasts).isoformat(),
    }
    return node.request("POST", TOKENS, {name: value for name, value in given.items() if value is not None})


def _revoke(node: Node, args: Namespace) -> Any:
    return node.request("DELETE", f"{TOKENS}/{segment(args.name)}")


def _listed(answer: Any) -> list[str]:
    return page(answer, "tokens", _HEADINGS, "No tokens but that of the configuration (copilot-socket token)")


def _added(answer: Any) -> list[str]:
    return [str(answer["token"])]


def _revoked(answer: Any) -> list[str]:
    return [f"{cell(answer['name'])}: revoked"]


_ACTIONS = {"list": _list, "add": _add, "revoke": _revoke}
_PRINTED = {"list": _listed, "add": _added, "revoke": _revoked}
