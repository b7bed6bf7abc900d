"""``copilot-socket budgets``: lists, sets and forgets what GitLab still allows of requests."""

from argparse import ArgumentParser, Namespace
from typing import Any

from copilot_socket.cli.node import Node, add_url_option, print_answer, with_query
from copilot_socket.cli.options import add_action, add_examples, add_page_options
from copilot_socket.cli.output import add_json_option, cell, page

BUDGETS = "/api/v1/budgets"
_HEADINGS = ("gitlab_origin", "account_id", "name", "remaining", "limit", "jobs_allowed", "until", "source")
_KEY = ("gitlab_origin", "account_id", "name")


def add_arguments(parser: ArgumentParser) -> None:
    """The actions of ``budgets``."""
    common = ArgumentParser(add_help=False)
    add_url_option(common)
    add_json_option(common)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = add_action(actions, "list", "list what crawlers, failures and people have said", common)
    add_page_options(listing, "budgets")
    add_examples(listing, "copilot-socket budgets list --json")
    setting = add_action(actions, "set", "say what is left, as GitLab would", common)
    _add_key(setting)
    setting.add_argument("--remaining", type=int, required=True, metavar="N", help="requests that are left")
    setting.add_argument("--limit", type=int, metavar="N", help="of how many requests")
    setting.add_argument("--reset-at", metavar="TIME", help="ISO-8601 with zone, at most an hour ahead")
    add_examples(setting, "copilot-socket budgets set https://gitlab.example.com --remaining 0 --limit 2000")
    forgetting = add_action(actions, "forget", "forget what was said, so that it keeps nothing back", common)
    _add_key(forgetting)
    add_examples(forgetting, "copilot-socket budgets forget https://gitlab.example.com --account-id me")
    add_examples(parser, "copilot-socket budgets list")


def _add_key(parser: ArgumentParser) -> None:
    parser.add_argument("gitlab_origin", metavar="URL", help="of the GitLab")
    parser.add_argument("--account-id", metavar="ACCOUNT", help="of one account; without it, of the whole host")
    parser.add_argument("--name", help="GitLab's name of the throttle (RateLimit-Name)")


def run(args: Namespace) -> int:
    """Run the action and return the exit status. Raises CommandError or ConfigFaults."""
    return print_answer(args, lambda node: _ACTIONS[args.action](node, args), _PRINTED[args.action])


def _list(node: Node, args: Namespace) -> Any:
    return node.request("GET", with_query(BUDGETS, {"limit": args.limit, "cursor": args.cursor}))


def _set(node: Node, args: Namespace) -> Any:
    names = (*_KEY, "remaining", "limit", "reset_at")
    return node.request("PUT", BUDGETS, {each: value for each in names if (value := getattr(args, each)) is not None})


def _forget(node: Node, args: Namespace) -> Any:
    return node.request("DELETE", with_query(BUDGETS, {name: getattr(args, name) for name in _KEY}))


def _listed(answer: Any) -> list[str]:
    return page(answer, "budgets", _HEADINGS, "No budgets: nothing was said of them lately")


def _shown(answer: Any) -> list[str]:
    jobs = answer["jobs_allowed"]
    at_a_time = "1 job" if jobs == 1 else f"{jobs} jobs"
    allowed = "any number of jobs" if jobs is None else f"{at_a_time} at a time until {answer['until']}"
    return [f"{_whose(answer)}: {cell(answer['remaining'])} of {cell(answer['limit'])} requests are left: {allowed}"]


def _forgotten(answer: Any) -> list[str]:
    return [f"{_whose(answer)}: forgotten"]


def _whose(budget: Any) -> str:
    return " ".join(cell(budget[name]) for name in _KEY if budget[name])


_ACTIONS = {"list": _list, "set": _set, "forget": _forget}
_PRINTED = {"list": _listed, "set": _shown, "forget": _forgotten}
