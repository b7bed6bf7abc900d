"""``copilot-socket audit``: lists who did what, and who was refused."""

from argparse import ArgumentParser, Namespace
from typing import Any

from copilot_socket.cli.node import Node, add_url_option, print_answer, with_query
from copilot_socket.cli.options import add_examples, add_page_options
from copilot_socket.cli.output import add_json_option, cell, page

AUDIT = "/api/v1/audit"
_FILTERS = {
    "actor": ("ACTOR", "by whom, as listed"),
    "door": ("DOOR", "where: http, cli or wire"),
    "action": ("ACTION", "such as job.cancel or account.put"),
    "target": ("TARGET", "on what: the id of a job, account or crawler, an origin, a path"),
    "outcome": ("OUTCOME", "done or refused"),
    "after": ("TIME", "at this time or later, ISO-8601 with zone"),
    "before": ("TIME", "before this time"),
}
_LISTS = frozenset({"accounts", "users"})
"""Details that are lists; any other one is a change."""
_HEADINGS = ("timestamp", "door", "actor", "address", "action", "target", "outcome", "count", "details")


def add_arguments(parser: ArgumentParser) -> None:
    """Options for the node, the filters and the page."""
    add_url_option(parser)
    add_json_option(parser)
    for name, (metavar, text) in _FILTERS.items():
        parser.add_argument(f"--{name}", metavar=metavar, help=text)
    add_page_options(parser, "rows")
    add_examples(
        parser,
        "copilot-socket audit",
        "copilot-socket audit --outcome refused --limit 20",
        "copilot-socket audit --target me --after 2026-11-01T00:00:00Z --json",
    )


def run(args: Namespace) -> int:
    """List the rows and return the exit status. Raises CommandError or ConfigFaults."""
    return print_answer(args, lambda node: _list(node, args), _listed)


def _list(node: Node, args: Namespace) -> Any:
    return node.request(
        "GET", with_query(AUDIT, {name: getattr(args, name) for name in (*_FILTERS, "limit", "cursor")})
    )


def _listed(answer: Any) -> list[str]:
    return page(answer, "audit", _HEADINGS, "Nothing is recorded, or nothing of that kind", _row)


def _row(act: Any) -> tuple[Any, ...]:
    # Microseconds and the offset, always zero, would only take up room.
    at = f"{act['timestamp'][:19]}Z"
    details = ", ".join(f"{cell(name)}: {_value(name, value)}" for name, value in (act["details"] or {}).items())
    return (at, *[act[name] for name in _HEADINGS[1:-1]], details or None)


def _value(name: str, value: Any) -> str:
    """Of a change: the old and the new value."""
    if isinstance(value, list) and len(value) == 2 and name not in _LISTS:
        return f"{cell(value[0])} → {cell(value[1])}"
    return cell(value)
