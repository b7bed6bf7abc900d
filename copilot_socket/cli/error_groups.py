"""``copilot-socket errors``: lists errors in groups, and shows, retries and ignores a group."""

from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from typing import Any

from copilot_socket.cli import bulk
from copilot_socket.cli.node import Node, add_url_option, print_answer, segment, with_query
from copilot_socket.cli.options import add_action, add_examples, add_page_options, duration
from copilot_socket.cli.output import add_json_option, cell, page, table, terminal_width

ERRORS = "/api/v1/errors"
_FILTERS = {
    "status": ("STATUS", "some of open, retried, regressed and ignored, comma-separated (default: all but ignored)"),
    "command": ("COMMAND", "of jobs with this command"),
    "error_type": ("TYPE", "of this type, as the crawler names it"),
    "account_id": ("ACCOUNT", "count only errors of this account"),
}
_HEADINGS = ("fingerprint", "status", "last_at", "errors", "failed", "what")
_EXAMPLE = "5f1c2a9b7e4d6038"
_BAR = 40
"""Characters of the longest bar of a history."""


def add_arguments(parser: ArgumentParser) -> None:
    """The actions of ``errors``."""
    common = ArgumentParser(add_help=False)
    add_url_option(common)
    add_json_option(common)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = add_action(actions, "list", "list errors in groups, those that occurred last first", common)
    for name, (metavar, text) in _FILTERS.items():
        # args.command is the subcommand of copilot-socket.
        listing.add_argument(f"--{name.replace('_', '-')}", dest=f"error_{name}", metavar=metavar, help=text)
    _add_range(listing)
    add_page_options(listing, "groups")
    add_examples(
        listing,
        "copilot-socket errors list",
        "copilot-socket errors list --last 1h --command issues",
        "copilot-socket errors list --status ignored --json",
    )
    showing = add_action(actions, "show", "show a group: accounts, counts over time, and its latest error", common)
    showing.add_argument("fingerprint", metavar="FINGERPRINT")
    _add_range(showing)
    show = f"copilot-socket errors show {_EXAMPLE}"
    add_examples(showing, show, f"{show} --last 6h")
    for action, text in (
        ("retry", "retry all jobs that it has failed, and wait until that is done"),
        ("ignore", "list a group only with --status ignored"),
        ("unignore", "list it again"),
    ):
        changing = add_action(actions, action, text, common)
        changing.add_argument("fingerprint", metavar="FINGERPRINT")
        add_examples(changing, f"copilot-socket errors {action} {_EXAMPLE}")
    add_examples(parser, "copilot-socket errors list", show)


def _add_range(parser: ArgumentParser) -> None:
    since = parser.add_mutually_exclusive_group()
    since.add_argument("--since", metavar="TIME", help="count from this hour on, ISO-8601 with zone")
    since.add_argument("--last", type=duration, metavar="TIME", help="the same, so long ago: 30s, 15m, 2h or 7d")
    parser.add_argument("--until", metavar="TIME", help="count up to this time, ISO-8601 with zone")


def run(args: Namespace) -> int:
    """Run the action and return the exit status. Raises CommandError or ConfigFaults."""
    return print_answer(args, lambda node: _ACTIONS[args.action](node, args), _PRINTED[args.action])


def _list(node: Node, args: Namespace) -> Any:
    filters = {name: getattr(args, f"error_{name}") for name in _FILTERS}
    paging = {"limit": args.limit, "cursor": args.cursor}
    return node.request("GET", with_query(ERRORS, {**filters, **_range(args), **paging}))


def _show(node: Node, args: Namespace) -> Any:
    return node.request("GET", with_query(f"{ERRORS}/{segment(args.fingerprint)}", _range(args)))


def _range(args: Namespace) -> dict[str, str | None]:
    since = args.since if args.last is None else (datetime.now(UTC) - args.last).isoformat()
    return {"since": since, "until": args.until}


def _change(node: Node, args: Namespace) -> Any:
    method = "POST" if args.action == "ignore" else "DELETE"
    return node.request(method, f"{ERRORS}/{segment(args.fingerprint)}/ignore")


def _retry(node: Node, args: Namespace) -> Any:
    operation = node.request("POST", f"{ERRORS}/{segment(args.fingerprint)}/retry")
    return bulk.wait(node, operation, quiet=args.json)


def _listed(answer: Any) -> list[str]:
    return page(answer, "errors", _HEADINGS, "No errors, or none of that kind", _row, width=terminal_width())


def _row(group: Any) -> tuple[Any, ...]:
    what = ": ".join(filter(None, (group["command"], group["error_type"], group["text"])))
    last = f"{group['last_at'][:16]}Z"
    return (group["fingerprint"], group["status"], last, f"{group['errors']:,}", f"{group['jobs_failed']:,}", what)


def _time(given: str) -> str:
    """Without microseconds."""
    return f"{given[:19]}Z"


def _shown(group: Any) -> list[str]:
    lines = [
        f"{cell(group['error_type'])} in {group['command']}: {cell(group['text'])}",
        f"{group['status']}; {group['errors']:,} errors of {group['accounts']:,} accounts,"
        f" {group['jobs_failed']:,} jobs failed",
        f"first {_time(group['first_at'])}, last {_time(group['last_at'])}",
    ]
    for done, why in (("retried", f", {group['errors_since_retry']} errors since"), ("ignored", "")):
        if group[f"{done}_at"] is not None:
            lines.append(f"{done} {_time(group[f'{done}_at'])} by {cell(group[f'{done}_by'])}{why}")
    lines += _table("account", [(each["account_id"], each["errors"]) for each in group["top_accounts"]])
    lines += _table(group["history_unit"], [(_time(each["start"]), each["errors"]) for each in group["history"]])
    return lines + _sample(group["sample"])


def _table(heading: str, counts: list[tuple[str, int]]) -> list[str]:
    """*counts* with bars, in proportion to the largest."""
    most = max((errors for _, errors in counts), default=1)
    rows = [(cell(name), f"{errors:,}", "#" * max(1, _BAR * errors // most)) for name, errors in counts]
    return ["", *table([(heading, "errors", ""), *rows])] if rows else []


def _sample(sample: Any) -> list[str]:
    if sample is None:
        return ["", "none of these errors is left in the log"]
    lines = [
        "",
        f"latest: job {sample['job_id']} at {_time(sample['timestamp'])}",
        *_indented(sample["error_message"]),
    ]
    for name in ("stack_trace", "context"):
        if sample[name] is not None:
            text = sample[name] if isinstance(sample[name], str) else cell(sample[name])
            lines += [f"{name.replace('_', ' ')}:", *_indented(text)]
    return lines + [f"too large to be shown: {name}" for name in sample["truncated"]]


def _indented(text: str) -> list[str]:
    return [f"  {line}".rstrip() for line in text.expandtabs(4).splitlines()]


def _changed(answer: Any) -> list[str]:
    return [f"{answer['fingerprint']}  {answer['status']}"]


_ACTIONS = {"list": _list, "show": _show, "retry": _retry, "ignore": _change, "unignore": _change}
_PRINTED = {"list": _listed, "show": _shown, "retry": bulk.lines, "ignore": _changed, "unignore": _changed}
