"""``copilot-socket webhooks``: whom the node tells of failures, and what has become of the messages."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from copilot_socket.cli import several
from copilot_socket.cli.answers import add_answer_options, page, print_answer
from copilot_socket.cli.errors import UsageError
from copilot_socket.cli.listing import Listing
from copilot_socket.cli.node import Node, segment, with_query
from copilot_socket.cli.options import add_action, add_examples
from copilot_socket.cli.style import Screen, escaped
from copilot_socket.cli.tables import Column, Kind, text

WEBHOOKS = "/api/v1/webhooks"
EVENTS = ("credential.expired", "crawler.quarantined", "host.held", "job.failed")
STATES = ("pending", "delivered", "failed")
_LISTING = Listing(
    WEBHOOKS,
    "webhooks",
    (
        Column("id", Kind.NAME),
        Column("url", Kind.PATH),
        Column("events"),
        Column("active"),
        Column("description"),
        Column("created_at", Kind.TIME),
        Column("created_by"),
    ),
    "No webhooks: nobody is told of failures",
)
_DELIVERIES = (
    Column("id", Kind.NAME),
    Column("event"),
    Column("status"),
    Column("attempts", Kind.NUMBER),
    Column("status_code", Kind.NUMBER),
    Column("error"),
    Column("occurred_at", Kind.TIME),
    Column("next_at", Kind.TIME),
)


def add_arguments(parser: ArgumentParser) -> None:
    """The actions of ``webhooks``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _LISTING.add_to(actions, "list webhooks, and what each is told of", "copilot-socket webhooks list")
    add = add_action(actions, "add", "tell a URL of events; prints the secret, which is shown this once")
    add_answer_options(add)
    add.add_argument("target", metavar="URL", help="an http or https URL")
    _add_events(add, required=True)
    add.add_argument("--description", metavar="TEXT", help="what it is for")
    add_examples(add, "copilot-socket webhooks add https://example.org/hook --event job.failed --event host.held")
    change = add_action(actions, "change", "change what a webhook is told of, or end and resume that")
    add_answer_options(change)
    change.add_argument("id", metavar="WEBHOOK")
    change.add_argument("--target", metavar="URL", help="where messages are sent from now on")
    _add_events(change, required=False)
    change.add_argument("--description", metavar="TEXT", help="what it is for")
    active = change.add_mutually_exclusive_group()
    active.add_argument("--active", action="store_true", default=None, help="send messages again")
    active.add_argument("--inactive", dest="active", action="store_false", help="send none")
    add_examples(change, "copilot-socket webhooks change 01JD0000000000000000000000 --inactive")
    rotate = add_action(actions, "rotate", "make a new secret and print it; the former one signs, too, for a day")
    add_answer_options(rotate)
    rotate.add_argument("id", metavar="WEBHOOK")
    rotate.add_argument("--former-valid-hours", type=float, metavar="HOURS", help="instead of a day")
    add_examples(rotate, "copilot-socket webhooks rotate 01JD0000000000000000000000")
    for name, help_ in (("test", "send a message ping to webhooks"), ("remove", "tell webhooks of nothing any more")):
        act = add_action(actions, name, help_)
        several.add_names(act, "WEBHOOK")
        add_examples(act, f"copilot-socket webhooks {name} 01JD0000000000000000000000")
    deliveries = add_action(actions, "deliveries", "list the messages to a webhook, newest first")
    add_answer_options(deliveries, watch=True)
    deliveries.add_argument("id", metavar="WEBHOOK")
    deliveries.add_argument("--status", choices=STATES, help="what has become of them")
    deliveries.add_argument("--limit", type=int, metavar="N", help="rows of the page, at most (100)")
    deliveries.add_argument("--cursor", metavar="CURSOR", help="of the page before")
    add_examples(deliveries, "copilot-socket webhooks deliveries 01JD0000000000000000000000 --status failed --watch")
    retry = add_action(actions, "retry", "send messages to a webhook again")
    retry.add_argument("webhook", metavar="WEBHOOK")
    several.add_names(retry, "DELIVERY")
    add_examples(retry, "copilot-socket webhooks retry 01JD0000000000000000000000 01JD0000000000000000000001")
    add_examples(parser, "copilot-socket webhooks list", "copilot-socket webhooks add --help")


def _add_events(parser: ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--event", dest="events", action="append", choices=EVENTS, required=required, help="repeatable"
    )


def run(args: Namespace) -> int:
    """Run the action and return the exit status. Raises CommandError or ConfigFaults."""
    match args.action:
        case "list":
            return _LISTING.run(args)
        case "add":
            body = _given(url=args.target, events=args.events, description=args.description)
            return print_answer(args, lambda node: node.request("POST", WEBHOOKS, body), _made)
        case "change":
            body = _given(url=args.target, events=args.events, description=args.description, active=args.active)
            if not body:
                raise UsageError(
                    "webhooks change needs one of --target, --event, --description, --active, --inactive"
                )
            return print_answer(args, lambda node: node.request("PATCH", _path(args.id), body), _changed)
        case "rotate":
            body = _given(former_valid_hours=args.former_valid_hours)
            return print_answer(args, lambda node: node.request("POST", f"{_path(args.id)}/rotate", body), _made)
        case "deliveries":
            asked = {"status": args.status, "limit": args.limit, "cursor": args.cursor}
            path = with_query(f"{_path(args.id)}/deliveries", asked)
            return print_answer(args, lambda node: node.request("GET", path), _deliveries)
        case "test":
            return several.run(args, several.Act(_test, _sending))
        case "retry":
            return several.run(args, several.Act(lambda node, name: _retry(node, args.webhook, name), _sending))
    return several.run(args, several.Act(_remove, _removed))


def _path(webhook: str) -> str:
    return f"{WEBHOOKS}/{segment(webhook)}"


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _test(node: Node, webhook: str) -> Any:
    return node.request("POST", f"{_path(webhook)}/test")


def _remove(node: Node, webhook: str) -> Any:
    return node.request("DELETE", _path(webhook))


def _retry(node: Node, webhook: str, delivery: str) -> Any:
    return node.request("POST", f"{_path(webhook)}/deliveries/{segment(delivery)}/retry")


def _made(answer: Any, _on: Screen) -> list[str]:
    return [escaped(f"{answer['id']}  {text(answer['url'])}"), escaped(answer["secret"])]


def _changed(answer: Any, _on: Screen) -> list[str]:
    told = ", ".join(answer["events"]) if answer["active"] else "nothing"
    return [escaped(f"{answer['id']}  {text(answer['url'])}: told of {told}")]


def _removed(answer: Any, _on: Screen) -> list[str]:
    return [escaped(f"{answer['id']}: removed")]


def _sending(answer: Any, _on: Screen) -> list[str]:
    return [escaped(f"{answer['id']}  {answer['event']}: is being sent")]


def _deliveries(answer: Any, on: Screen) -> Sequence[str]:
    return page(answer, "deliveries", _DELIVERIES, "No messages", on)
