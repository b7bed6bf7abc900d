"""``copilot-socket audit``: lists who did what, and who was refused."""

from argparse import ArgumentParser, Namespace
from typing import Any

from copilot_socket.cli.listing import Listing
from copilot_socket.cli.options import add_examples
from copilot_socket.cli.tables import Column, Kind, text

AUDIT = "/api/v1/audit"
_LISTS = frozenset({"accounts", "users"})
"""Details that are lists; any other one is a change."""


def _details(act: Any) -> str | None:
    return ", ".join(f"{text(name)}: {_value(name, value)}" for name, value in (act["details"] or {}).items()) or None


def _value(name: str, value: Any) -> str:
    """Of a change: the old and the new value."""
    if isinstance(value, list) and len(value) == 2 and name not in _LISTS:
        return f"{text(value[0])} → {text(value[1])}"
    return text(value)


_LISTING = Listing(
    AUDIT,
    "audit",
    (
        Column("timestamp", Kind.TIME),
        Column("actor"),
        Column("action"),
        Column("target", Kind.PATH),
        Column("outcome", Kind.STATE),
        Column("count", Kind.NUMBER),
        Column("details", value=_details),
        Column("door"),
        Column("address"),
    ),
    "Nothing is recorded, or nothing of that kind",
)


def add_arguments(parser: ArgumentParser) -> None:
    """The action ``list``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _LISTING.add_to(
        actions,
        "list who did what, and who was refused, newest first",
        "copilot-socket audit list --outcome refused --limit 20",
        "copilot-socket audit list --target me --after 2026-11-01T00:00:00Z --json",
    )
    add_examples(parser, "copilot-socket audit", "copilot-socket audit --outcome refused")


def run(args: Namespace) -> int:
    """List the rows and return the exit status. Raises CommandError or ConfigFaults."""
    return _LISTING.run(args)
