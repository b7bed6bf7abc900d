"""`copilot-socket crawlers`: lists and shows crawlers, and drains, quarantines, releases or shuts them down."""

from argparse import ArgumentParser, Namespace
from typing import Any

from copilot_socket.cli import several
from copilot_socket.cli.listing import Listing
from copilot_socket.cli.node import Node, segment
from copilot_socket.cli.options import add_action, add_examples
from copilot_socket.cli.showing import Showing
from copilot_socket.cli.style import Screen, escaped
from copilot_socket.cli.tables import Column, Kind, details, text

CRAWLERS = "/api/v1/crawlers"


def _mode(crawler: Any) -> str:
    return str(crawler["mode"]) + (", fails everything" if crawler["suspected_at"] else "")


def _jobs(crawler: Any) -> str:
    return f"{len(crawler['active_jobs'])}/{crawler['max_jobs']}"


def _failed(crawler: Any) -> str:
    """Of the attempts of the last hour that have succeeded or failed."""
    recent = crawler["recent"]
    return f"{recent['failed']}/{recent['completed'] + recent['failed']}"


LISTING = Listing(
    CRAWLERS,
    "crawlers",
    (
        Column("id", Kind.NAME),
        Column("connected"),
        Column("mode", Kind.STATE, _mode),
        Column("jobs", Kind.NUMBER, _jobs),
        Column("failed", Kind.NUMBER, _failed),
        Column("status", Kind.STATE, lambda crawler: crawler["system_status"]),
        Column("last_heartbeat", Kind.TIME),
        Column("version"),
        Column("plain"),
        Column("owner"),
        Column("node_id"),
    ),
    "No crawlers: none has connected to the node's socket (SOCKET_PATH)",
)
_SHOWING = Showing(CRAWLERS, "crawlers", lambda answer, on: list(details(answer, on)))
_ACTIONS = {
    "drain": "give crawlers no more work: they finish what they hold",
    "quarantine": "give crawlers no more work, since they fail what others do",
    "release": "give crawlers work again",
    "shutdown": "ask connected crawlers to exit",
}


def add_arguments(parser: ArgumentParser) -> None:
    """The actions of ``crawlers``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    LISTING.add_to(
        actions,
        "list the crawlers that are connected, or were within the last day",
        "copilot-socket crawlers list",
        "copilot-socket crawlers list --connected true --watch",
        "copilot-socket crawlers list --json --url http://127.0.0.1:3001",
    )
    _SHOWING.add_to(
        actions,
        "show",
        "show crawlers, what they hold, and how their attempts of the last hour ended",
        "CRAWLER",
        "copilot-socket crawlers show crawler-7",
    )
    for action, about in _ACTIONS.items():
        changing = add_action(actions, action, about)
        several.add_names(changing, "CRAWLER", LISTING)
        add_examples(
            changing,
            f"copilot-socket crawlers {action} crawler-7 crawler-8",
            f"copilot-socket crawlers {action} --filter connected=true --yes",
        )
    add_examples(parser, "copilot-socket crawlers list", "copilot-socket crawlers drain crawler-7")


def run(args: Namespace) -> int:
    """Run the action and return the exit status. Raises CommandError or ConfigFaults."""
    if args.action == "list":
        return LISTING.run(args)
    if args.action == "show":
        return _SHOWING.run(args)

    def request(node: Node, name: str) -> Any:
        return node.request("POST", f"{CRAWLERS}/{segment(name)}/{args.action}")

    return several.run(args, several.Act(request, _changed, LISTING))


def _changed(answer: Any, on: Screen) -> list[str]:
    return [escaped(f"crawler {text(answer['id'])}: {answer.get('mode', 'asked to exit')}")]
