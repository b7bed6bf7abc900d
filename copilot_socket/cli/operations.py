"""``copilot-socket operations``: lists and shows bulk operations on jobs, and ends them."""

from argparse import ArgumentParser, Namespace
from typing import Any

from copilot_socket.cli.bulk import OPERATIONS
from copilot_socket.cli.bulk import lines as result
from copilot_socket.cli.node import Node, add_url_option, print_answer, segment, with_query
from copilot_socket.cli.options import add_action, add_examples, add_page_options
from copilot_socket.cli.output import add_json_option, cell, page

_HEADINGS = ("id", "action", "status", "expected", "changed_total", "skipped_total", "created_by", "created_at")


def add_arguments(parser: ArgumentParser) -> None:
    """The actions of ``operations``."""
    common = ArgumentParser(add_help=False)
    add_url_option(common)
    add_json_option(common)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = add_action(actions, "list", "list bulk operations, newest first", common)
    listing.add_argument("--status", metavar="STATUS", help="running, done, aborted or failed")
    add_page_options(listing, "operations")
    add_examples(listing, "copilot-socket operations list --status running")
    for action, text in (("show", "show a bulk operation"), ("abort", "end one; what it has changed stays so")):
        single = add_action(actions, action, text, common)
        single.add_argument("id", metavar="OPERATION")
        add_examples(single, f"copilot-socket operations {action} 01JD0000000000000000000000")
    add_examples(parser, "copilot-socket operations list")


def run(args: Namespace) -> int:
    """Run the action and return the exit status. Raises CommandError or ConfigFaults."""
    return print_answer(args, lambda node: _ACTIONS[args.action](node, args), _PRINTED[args.action])


def _list(node: Node, args: Namespace) -> Any:
    given = {"status": args.status, "limit": args.limit, "cursor": args.cursor}
    return node.request("GET", with_query(OPERATIONS, given))


def _show(node: Node, args: Namespace) -> Any:
    return node.request("GET", f"{OPERATIONS}/{segment(args.id)}")


def _abort(node: Node, args: Namespace) -> Any:
    return node.request("POST", f"{OPERATIONS}/{segment(args.id)}/abort")


def _listed(answer: Any) -> list[str]:
    return page(answer, "operations", _HEADINGS, "No bulk operations (copilot-socket jobs retry --filter …)")


def _shown(answer: Any) -> list[str]:
    return [f"{name}: {cell(value)}" for name, value in answer.items()]


_ACTIONS = {"list": _list, "show": _show, "abort": _abort}
_PRINTED = {"list": _listed, "show": _shown, "abort": result}
