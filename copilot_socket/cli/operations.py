"""``copilot-socket operations``: lists and shows bulk operations on jobs, and ends them."""

from argparse import ArgumentParser, Namespace
from typing import Any

from copilot_socket.cli import several
from copilot_socket.cli.bulk import OPERATIONS
from copilot_socket.cli.bulk import lines as result
from copilot_socket.cli.listing import Listing
from copilot_socket.cli.node import Node, segment
from copilot_socket.cli.options import add_action, add_examples
from copilot_socket.cli.showing import Showing
from copilot_socket.cli.style import Screen
from copilot_socket.cli.tables import Column, Kind, details

_LISTING = Listing(
    OPERATIONS,
    "operations",
    (
        Column("id", Kind.NAME),
        Column("action"),
        Column("status", Kind.STATE),
        Column("expected", Kind.NUMBER),
        Column("changed_total", Kind.NUMBER),
        Column("skipped_total", Kind.NUMBER),
        Column("created_at", Kind.TIME),
        Column("created_by"),
    ),
    "No bulk operations (copilot-socket jobs retry --filter …)",
)
_SHOWING = Showing(OPERATIONS, "operations", lambda answer, on: list(details(answer, on)))


def add_arguments(parser: ArgumentParser) -> None:
    """The actions of ``operations``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _LISTING.add_to(
        actions,
        "list bulk operations, newest first",
        "copilot-socket operations list --status running",
        "copilot-socket operations list --watch",
    )
    _SHOWING.add_to(
        actions,
        "show",
        "show bulk operations",
        "OPERATION",
        "copilot-socket operations show 01JD0000000000000000000000",
        "copilot-socket operations show 01JD0000000000000000000000 --watch",
    )
    abort = add_action(actions, "abort", "end bulk operations; what they have changed stays so")
    several.add_names(abort, "OPERATION", _LISTING)
    add_examples(
        abort,
        "copilot-socket operations abort 01JD0000000000000000000000",
        "copilot-socket operations abort --filter status=running",
    )
    add_examples(parser, "copilot-socket operations list")


def run(args: Namespace) -> int:
    """Run the action and return the exit status. Raises CommandError or ConfigFaults."""
    if args.action == "list":
        return _LISTING.run(args)
    if args.action == "show":
        return _SHOWING.run(args)
    return several.run(args, several.Act(_abort, _aborted, _LISTING))


def _abort(node: Node, name: str) -> Any:
    return node.request("POST", f"{OPERATIONS}/{segment(name)}/abort")


def _aborted(answer: Any, _on: Screen) -> list[str]:
    return result(answer)
