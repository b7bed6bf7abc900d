"""``copilot-socket stats``: counts of jobs, of the queue and of crawlers, now and over time."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

from copilot_socket.cli.answers import add_answer_options, print_answer
from copilot_socket.cli.filters import add_list_options, query
from copilot_socket.cli.node import with_query
from copilot_socket.cli.options import add_examples
from copilot_socket.cli.style import Screen
from copilot_socket.cli.tables import Column, Kind, table, text
from copilot_socket.cli.times import duration_text

STATS = "/api/v1/stats"
_HISTORY = f"{STATS}/history"
_COUNTS = (
    Column("of", Kind.TEXT, lambda row: row[0]),
    Column("what", Kind.STATE, lambda row: row[1]),
    Column("number", Kind.NUMBER, lambda row: row[2]),
    Column("", Kind.TEXT, lambda row: row[3]),
)


def _duration(name: str, part: str) -> Column:
    def value(row: Any) -> str | None:
        seconds = row[name][part]
        return None if seconds is None else duration_text(seconds)

    return Column(f"{name} {part}", Kind.NUMBER, value)


_INTERVALS = (
    Column("at", Kind.NAME, lambda row: row["at"][:16]),
    Column("created", Kind.NUMBER),
    Column("completed", Kind.NUMBER),
    Column("failed", Kind.NUMBER),
    Column("queued", Kind.NUMBER, lambda row: (row["jobs"] or {}).get("queued")),
    Column("running", Kind.NUMBER, lambda row: (row["jobs"] or {}).get("running")),
    Column("crawlers", Kind.NUMBER),
    _duration("dispatch", "p50"),
    _duration("dispatch", "p99"),
    _duration("run", "p50"),
    _duration("run", "p99"),
)


def add_arguments(parser: ArgumentParser) -> None:
    """Whose jobs to count, and options for the node."""
    add_list_options(parser, STATS)
    parser.add_argument(
        "--history",
        choices=("minute", "hour", "day"),
        help="what happened in each of the last 60 minutes, hours or days",
    )
    add_answer_options(parser, watch=True)
    add_examples(
        parser,
        "copilot-socket stats",
        "copilot-socket stats --watch 5",
        "copilot-socket stats --account-id me --json",
        "copilot-socket stats --history hour",
    )


def run(args: Namespace) -> int:
    """Print the counts and return the exit status. Raises CommandError or ConfigFaults."""
    if args.history is not None:
        path = with_query(_HISTORY, {"resolution": args.history})
        return print_answer(args, lambda node: node.request("GET", path), _told)
    path = with_query(STATS, query(args))
    return print_answer(args, lambda node: node.request("GET", path), _shown)


def _told(answer: Any, on: Screen) -> list[str]:
    rows = answer["history"]
    return list(table(_INTERVALS, rows, on)) if rows else ["Nothing is known of that time"]


def _shown(answer: Any, on: Screen) -> list[str]:
    rows: list[tuple[str, str, Any, str]] = [("jobs", state, count, "") for state, count in answer["jobs"].items()]
    if "queue" in answer:  # not of an account, of a user or for a limited token
        queue: Mapping[str, Any] = answer["queue"]
        crawlers = dict(answer["crawlers"])
        modes = crawlers.pop("modes")
        rows += [("queue", name.replace("_", " "), queue[name], "") for name in ("ready", "held_back", "scheduled")]
        unroutable = dict(sorted(queue["unroutable_commands"].items()))
        rows.append(("queue", "unroutable", queue["unroutable"], text(unroutable) if unroutable else ""))
        rows.append(("queue", "oldest", duration_text(queue["oldest_seconds"]), ""))
        rows += [("crawlers", name, count, "") for name, count in {**crawlers, **modes}.items()]
    return list(table(_COUNTS, rows, on))
