"""`copilot-socket crawlers`: who crawls, what each holds, when it was last heard; through the HTTP port of a node."""

from argparse import ArgumentParser, Namespace
from typing import Any
from urllib.parse import urlencode

from copilot_socket.cli.node import Node, add_url_option, tell
from copilot_socket.cli.options import add_examples
from copilot_socket.cli.output import add_json_option, cell, table

CRAWLERS = "/api/v1/crawlers"
_HEADINGS = ("id", "connected", "plain", "status", "jobs", "last_heartbeat", "node_id")


def add_arguments(parser: ArgumentParser) -> None:
    """Which node is asked, and for which page."""
    add_url_option(parser)
    add_json_option(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many (default 100)")
    parser.add_argument("--cursor", help="go on where an answer with `more:` ended")
    add_examples(parser, "copilot-socket crawlers", "copilot-socket crawlers --json --url http://127.0.0.1:3001")


def run(args: Namespace) -> int:
    """List them; the exit status. Raises CommandError or ConfigFaults."""

    def ask(node: Node) -> Any:
        query = {name: value for name in ("limit", "cursor") if (value := getattr(args, name)) is not None}
        return node.ask("GET", CRAWLERS + (f"?{urlencode(query)}" if query else ""))

    return tell(args, ask, _listed)


def _listed(answer: Any) -> list[str]:
    if not answer["crawlers"]:
        return ["No crawlers to list: none has connected to the node's socket (SOCKET_PATH)"]
    rows = [[cell(value) for value in _row(crawler)] for crawler in answer["crawlers"]]
    return table([_HEADINGS, *rows]) + ([f"more: --cursor {answer['next']}"] if answer["next"] else [])


def _row(crawler: Any) -> tuple[Any, ...]:
    return (
        crawler["id"],
        "yes" if crawler["connected"] else "no",
        "yes" if crawler["plain"] else "no",
        crawler["system_status"],
        f"{len(crawler['active_jobs'])}/{crawler['max_jobs']}",
        crawler["last_heartbeat"],
        crawler["node_id"],
    )
