"""``copilot-socket nodes``: lists the nodes that serve a database."""

from argparse import ArgumentParser, Namespace
from typing import Any

from copilot_socket.cli.node import Node, add_url_option, print_answer, with_query
from copilot_socket.cli.options import add_examples, add_page_options
from copilot_socket.cli.output import add_json_option, page

NODES = "/api/v1/nodes"
_HEADINGS = ("id", "host", "pid", "live", "crawlers", "assignments", "connections", "operations", "started_at")


def add_arguments(parser: ArgumentParser) -> None:
    """Options for the node that is asked, and the page."""
    add_url_option(parser)
    add_json_option(parser)
    add_page_options(parser, "nodes")
    add_examples(parser, "copilot-socket nodes", "copilot-socket nodes --json --url http://127.0.0.1:3001")


def run(args: Namespace) -> int:
    """List the nodes and return the exit status. Raises CommandError or ConfigFaults."""

    def request(node: Node) -> Any:
        return node.request("GET", with_query(NODES, {"limit": args.limit, "cursor": args.cursor}))

    return print_answer(args, request, _listed)


def _listed(answer: Any) -> list[str]:
    return page(answer, "nodes", _HEADINGS, "No nodes: none has a lease in the database", _row)


def _row(node: Any) -> list[Any]:
    return [node[name] if name != "live" else "yes" if node[name] else "no" for name in _HEADINGS]
