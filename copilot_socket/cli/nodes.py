"""``copilot-socket nodes``: lists the nodes that serve a database."""

from argparse import ArgumentParser, Namespace

from copilot_socket.cli.listing import Listing
from copilot_socket.cli.options import add_examples
from copilot_socket.cli.tables import Column, Kind

_LISTING = Listing(
    "/api/v1/nodes",
    "nodes",
    (
        Column("id", Kind.NAME),
        Column("host"),
        Column("pid", value=lambda node: node["pid"]),
        Column("version"),
        Column("live"),
        Column("crawlers", Kind.NUMBER),
        Column("assignments", Kind.NUMBER),
        Column("connections", Kind.NUMBER),
        Column("operations", Kind.NUMBER),
        Column("started_at", Kind.TIME),
    ),
    "No nodes: none has a lease in the database",
)


def add_arguments(parser: ArgumentParser) -> None:
    """The action ``list``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _LISTING.add_to(
        actions,
        "list the nodes that run, or have died within the last hour",
        "copilot-socket nodes list",
        "copilot-socket nodes list --json --url http://127.0.0.1:3001",
    )
    add_examples(parser, "copilot-socket nodes")


def run(args: Namespace) -> int:
    """List the nodes and return the exit status. Raises CommandError or ConfigFaults."""
    return _LISTING.run(args)
