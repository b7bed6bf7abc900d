"""`copilot-socket crawlers`: lists crawlers, and drains, quarantines, releases them or asks them to exit."""

from argparse import ArgumentParser, Namespace
from typing import Any

from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.node import Node, add_url_option, print_answer, segment, with_query
from copilot_socket.cli.options import add_examples, add_page_options
from copilot_socket.cli.output import add_json_option, page

CRAWLERS = "/api/v1/crawlers"
_HEADINGS = ("id", "connected", "plain", "mode", "status", "jobs", "last_heartbeat", "node_id")
_ACTIONS = ("drain", "quarantine", "release", "shutdown")


def add_arguments(parser: ArgumentParser) -> None:
    """Options for the node and the page."""
    add_url_option(parser)
    add_json_option(parser)
    parser.add_argument("action", nargs="?", choices=_ACTIONS, help="what to do with the crawler ID")
    parser.add_argument("id", nargs="?", metavar="ID", help="the id of a crawler, as listed")
    add_page_options(parser, "crawlers")
    add_examples(
        parser,
        "copilot-socket crawlers",
        "copilot-socket crawlers --json --url http://127.0.0.1:3001",
        "copilot-socket crawlers drain crawler-7",
    )


def run(args: Namespace) -> int:
    """List the crawlers and return the exit status. Raises CommandError or ConfigFaults."""

    if args.action is not None:
        if args.id is None:
            raise CommandError(
                f"crawlers {args.action} needs the id of a crawler; `copilot-socket crawlers` lists them"
            )
        path = f"{CRAWLERS}/{segment(args.id)}/{args.action}"
        return print_answer(args, lambda node: node.request("POST", path), _changed)

    def request(node: Node) -> Any:
        return node.request("GET", with_query(CRAWLERS, {"limit": args.limit, "cursor": args.cursor}))

    return print_answer(args, request, _listed)


def _changed(answer: Any) -> list[str]:
    return [f"crawler {answer['id']}: {answer.get('mode', 'asked to exit')}"]


def _listed(answer: Any) -> list[str]:
    empty = "No crawlers: none has connected to the node's socket (SOCKET_PATH)"
    return page(answer, "crawlers", _HEADINGS, empty, _row)


def _row(crawler: Any) -> tuple[Any, ...]:
    return (
        crawler["id"],
        "yes" if crawler["connected"] else "no",
        "yes" if crawler["plain"] else "no",
        crawler["mode"] + (", fails everything" if crawler["suspected_at"] else ""),
        crawler["system_status"],
        f"{len(crawler['active_jobs'])}/{crawler['max_jobs']}",
        crawler["last_heartbeat"],
        crawler["node_id"],
    )
