"""``copilot-socket errors``: lists errors in groups, and shows, retries and ignores a group."""

from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from typing import Any

from copilot_socket.cli import bulk, several
from copilot_socket.cli.listing import Listing
from copilot_socket.cli.node import Node, segment
from copilot_socket.cli.options import add_action, add_examples, duration
from copilot_socket.cli.showing import Showing
from copilot_socket.cli.style import BOLD, Screen, Styled, escaped
from copilot_socket.cli.tables import Column, Kind, block, details, table, text, time, when

ERRORS = "/api/v1/errors"


def _what(group: Any) -> str:
    return ": ".join(filter(None, (group["command"], group["error_type"], group["text"])))


_LISTING = Listing(
    ERRORS,
    "errors",
    (
        Column("fingerprint", Kind.NAME),
        Column("status", Kind.STATE),
        Column("last_at", Kind.TIME),
        Column("errors", Kind.NUMBER),
        Column("failed", Kind.NUMBER, lambda group: group["jobs_failed"]),
        Column("what", value=_what),
    ),
    "No errors, or none of that kind",
    taken=("since", "until"),
)
_EXAMPLE = "5f1c2a9b7e4d6038"
_BAR = 40
"""Characters of the longest bar of a history."""


def add_arguments(parser: ArgumentParser) -> None:
    """The actions of ``errors``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = _LISTING.add_to(
        actions,
        "list errors in groups, those that occurred last first",
        "copilot-socket errors list",
        "copilot-socket errors list --last 1h --command issues",
        "copilot-socket errors list --status ignored --json",
    )
    _add_range(listing)
    show = f"copilot-socket errors show {_EXAMPLE}"
    showing = _SHOWING.add_to(
        actions,
        "show",
        "show groups: accounts, counts over time, and the latest error",
        "FINGERPRINT",
        show,
        f"{show} --last 6h",
    )
    _add_range(showing)
    for action, about in (
        ("retry", "retry all jobs that groups have failed, and wait until that is done"),
        ("ignore", "list groups only with --status ignored"),
        ("unignore", "list them again"),
    ):
        changing = add_action(actions, action, about)
        several.add_names(changing, "FINGERPRINT", _LISTING)
        add_examples(
            changing,
            f"copilot-socket errors {action} {_EXAMPLE}",
            f"copilot-socket errors {action} --filter command=issues",
        )
    add_examples(parser, "copilot-socket errors list", show)


def _add_range(parser: ArgumentParser) -> None:
    since = parser.add_mutually_exclusive_group()
    since.add_argument("--since", metavar="TIME", help="count from this hour on, ISO-8601 with zone")
    since.add_argument("--last", type=duration, metavar="TIME", help="the same, so long ago: 30s, 15m, 2h or 7d")
    parser.add_argument("--until", metavar="TIME", help="count up to this time, ISO-8601 with zone")


def run(args: Namespace) -> int:
    """Run the action and return the exit status. Raises CommandError or ConfigFaults."""
    if args.action == "list":
        return _LISTING.run(args, _range(args))
    if args.action == "show":
        return _SHOWING.run(args, _range(args))
    if args.action == "retry":
        retry = several.Act(lambda node, name: _retry(node, name, quiet=args.json), _retried, _LISTING, "fingerprint")
        return several.run(args, retry)
    method = "POST" if args.action == "ignore" else "DELETE"

    def change(node: Node, name: str) -> Any:
        return node.request(method, f"{ERRORS}/{segment(name)}/ignore")

    return several.run(args, several.Act(change, _changed, _LISTING, "fingerprint"))


def _range(args: Namespace) -> dict[str, str | None]:
    since = args.since if args.last is None else (datetime.now(UTC) - args.last).isoformat()
    return {"since": since, "until": args.until}


def _retry(node: Node, name: str, *, quiet: bool) -> Any:
    operation = node.request("POST", f"{ERRORS}/{segment(name)}/retry")
    return bulk.wait(node, operation, quiet=quiet)


def _retried(answer: Any, _on: Screen) -> list[str]:
    return bulk.lines(answer)


def _shown(group: Any, on: Screen) -> list[str]:
    lines: list[str] = [
        Styled(on.paint(f"{text(group['error_type'])} in {text(group['command'])}: {text(group['text'])}", BOLD)),
        Styled(
            f"{on.state(text(group['status']))}; {group['errors']:,} errors of {group['accounts']:,} accounts,"
            f" {group['jobs_failed']:,} jobs failed"
        ),
        Styled(f"first {when(group['first_at'], on)}, last {when(group['last_at'], on)}"),
    ]
    for done, why in (("retried", f", {group['errors_since_retry']} errors since"), ("ignored", "")):
        if group[f"{done}_at"] is not None:
            lines.append(Styled(f"{done} {when(group[f'{done}_at'], on)} by {text(group[f'{done}_by'])}{why}"))
    lines += _bars("account", [(text(each["account_id"]), each["errors"]) for each in group["top_accounts"]], on)
    counts = [(time(each["start"], on._replace(wide=True)), each["errors"]) for each in group["history"]]
    return lines + _bars(group["history_unit"], counts, on) + _sample(group["sample"], on)


def _bars(heading: str, counts: list[tuple[str, int]], on: Screen) -> list[str]:
    """*counts* with bars, in proportion to the largest."""
    most = max((errors for _, errors in counts), default=1)
    columns = (
        Column(heading, Kind.NAME, lambda row: row[0]),
        Column("errors", Kind.NUMBER, lambda row: row[1]),
        Column("", value=lambda row: "#" * max(1, _BAR * row[1] // most)),
    )
    return ["", *table(columns, counts, on)] if counts else []


def _sample(sample: Any, on: Screen) -> list[str]:
    if sample is None:
        return ["", "none of these errors is left in the log"]
    lines: list[str] = ["", escaped(f"latest: job {sample['job_id']} at {when(sample['timestamp'], on)}")]
    lines += block(sample["error_message"])
    if sample["stack_trace"] is not None:
        lines += ["stack trace:", *block(sample["stack_trace"])]
    if sample["context"] is not None:
        lines += ["context:", *details(sample["context"], on, "  ")]
    return lines + [f"too large to be shown: {name}" for name in sample["truncated"]]


def _changed(answer: Any, on: Screen) -> list[str]:
    return [Styled(f"{text(answer['fingerprint'])}  {on.state(text(answer['status']))}")]


_SHOWING = Showing(ERRORS, "errors", _shown)
