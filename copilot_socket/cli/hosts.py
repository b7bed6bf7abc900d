"""``copilot-socket hosts``: lists GitLab hosts, and sets their limit of running jobs."""

from argparse import ArgumentParser, Namespace

from copilot_socket.cli.limits import Settings
from copilot_socket.cli.listing import Listing
from copilot_socket.cli.options import add_examples
from copilot_socket.cli.tables import Column, Kind

_LISTING = Listing(
    "/api/v1/hosts",
    "hosts",
    (
        Column("origin", Kind.NAME),
        Column("accounts", Kind.NUMBER),
        Column("max_running", Kind.NUMBER),
        Column("held_since", Kind.TIME),
        Column("next_probe_at", Kind.TIME),
        Column("last_success_at", Kind.TIME),
    ),
    "No hosts: there are no accounts yet",
)
_SETTINGS = Settings(_LISTING, "origin", "https://gitlab.example.com", ("max_running",))


def add_arguments(parser: ArgumentParser) -> None:
    """The actions of ``hosts``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _LISTING.add_to(actions, "list the GitLab hosts of the accounts", "copilot-socket hosts list")
    _SETTINGS.add_to(actions)
    add_examples(parser, "copilot-socket hosts list")


def run(args: Namespace) -> int:
    """Run the action and return the exit status. Raises CommandError or ConfigFaults."""
    return _LISTING.run(args) if args.action == "list" else _SETTINGS.run(args)
