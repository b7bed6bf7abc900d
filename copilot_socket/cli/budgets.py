"""``copilot-socket budgets``: lists, sets and forgets what GitLab still allows of requests."""

from argparse import ArgumentParser, Namespace
from typing import Any

from copilot_socket.cli.answers import add_answer_options, print_answer
from copilot_socket.cli.listing import Listing
from copilot_socket.cli.node import Node, with_query
from copilot_socket.cli.options import add_action, add_examples
from copilot_socket.cli.style import Screen, escaped
from copilot_socket.cli.tables import Column, Kind, text

BUDGETS = "/api/v1/budgets"
_LISTING = Listing(
    BUDGETS,
    "budgets",
    (
        Column("gitlab_origin", Kind.NAME),
        Column("account_id"),
        Column("name"),
        Column("remaining", Kind.NUMBER),
        Column("limit", Kind.NUMBER),
        Column("jobs_allowed", Kind.NUMBER),
        Column("until", Kind.TIME),
        Column("source"),
    ),
    "No budgets: nothing was said of them lately",
)
_KEY = ("gitlab_origin", "account_id", "name")


def add_arguments(parser: ArgumentParser) -> None:
    """The actions of ``budgets``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _LISTING.add_to(
        actions, "list what crawlers, failures and people have said", "copilot-socket budgets list --json"
    )
    setting = add_action(actions, "set", "say what is left, as GitLab would")
    add_answer_options(setting)
    _add_key(setting)
    setting.add_argument("--remaining", type=int, required=True, metavar="N", help="requests that are left")
    setting.add_argument("--limit", type=int, metavar="N", help="of how many requests")
    setting.add_argument("--reset-at", metavar="TIME", help="ISO-8601 with zone, at most an hour ahead")
    add_examples(setting, "copilot-socket budgets set https://gitlab.example.com --remaining 0 --limit 2000")
    forgetting = add_action(actions, "forget", "forget what was said, so that it keeps nothing back")
    add_answer_options(forgetting)
    _add_key(forgetting)
    add_examples(forgetting, "copilot-socket budgets forget https://gitlab.example.com --account-id me")
    add_examples(parser, "copilot-socket budgets list")


def _add_key(parser: ArgumentParser) -> None:
    parser.add_argument("gitlab_origin", metavar="URL", help="of the GitLab")
    parser.add_argument("--account-id", metavar="ACCOUNT", help="of one account; without it, of the whole host")
    parser.add_argument("--name", help="GitLab's name of the throttle (RateLimit-Name)")


def run(args: Namespace) -> int:
    """Run the action and return the exit status. Raises CommandError or ConfigFaults."""
    if args.action == "list":
        return _LISTING.run(args)
    if args.action == "set":
        return print_answer(args, lambda node: _set(node, args), _shown)
    return print_answer(args, lambda node: _forget(node, args), _forgotten)


def _set(node: Node, args: Namespace) -> Any:
    names = (*_KEY, "remaining", "limit", "reset_at")
    return node.request("PUT", BUDGETS, {each: value for each in names if (value := getattr(args, each)) is not None})


def _forget(node: Node, args: Namespace) -> Any:
    return node.request("DELETE", with_query(BUDGETS, {name: getattr(args, name) for name in _KEY}))


def _shown(answer: Any, _on: Screen) -> list[str]:
    jobs = answer["jobs_allowed"]
    at_a_time = "1 job" if jobs == 1 else f"{jobs} jobs"
    allowed = "any number of jobs" if jobs is None else f"{at_a_time} at a time until {answer['until']}"
    return [
        escaped(
            f"{_whose(answer)}: {text(answer['remaining'])} of {text(answer['limit'])} requests are left: {allowed}"
        )
    ]


def _forgotten(answer: Any, _on: Screen) -> list[str]:
    return [escaped(f"{_whose(answer)}: forgotten")]


def _whose(budget: Any) -> str:
    return " ".join(text(budget[name]) for name in _KEY if budget[name])
