"""``copilot-socket users``: shows all that is crawled for users of the web application."""

from argparse import ArgumentParser, Namespace
from typing import Any

from copilot_socket.cli.bulk import count
from copilot_socket.cli.options import add_examples
from copilot_socket.cli.showing import Showing
from copilot_socket.cli.style import BOLD, Screen, Styled
from copilot_socket.cli.tables import Column, Kind, details, table, text

_ACCOUNTS = (
    Column("id", Kind.NAME),
    Column("credential_status", Kind.STATE),
    Column("token_expires_at", Kind.TIME),
    Column("gitlab_url"),
)


def add_arguments(parser: ArgumentParser) -> None:
    """The action ``show``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _SHOWING.add_to(
        actions,
        "show",
        "show state, progress, jobs and accounts of all that is crawled for users",
        "USER",
        "copilot-socket users show ann",
        "copilot-socket users show ann --watch",
    )
    add_examples(parser, "copilot-socket users show ann")


def run(args: Namespace) -> int:
    """Run the action and return the exit status. Raises CommandError or ConfigFaults."""
    return _SHOWING.run(args)


def _shown(user: Any, on: Screen) -> list[str]:
    done = "" if user["progress"] is None else f", {user['progress']:.0%} of {count(user['total'])} over"
    rest = {**user, "jobs": {state: number for state, number in user["jobs"].items() if number}}
    for name in ("id", "state", "progress", "total", "accounts"):
        rest.pop(name)
    lines = [Styled(f"{on.paint(text(user['id']), BOLD)}  {on.state(text(user['state']))}{done}")]
    lines += details(rest, on)
    return [*lines, "accounts:", *table(_ACCOUNTS, user["accounts"], on)] if user["accounts"] else list(lines)


_SHOWING = Showing("/api/v1/users", "users", _shown)
