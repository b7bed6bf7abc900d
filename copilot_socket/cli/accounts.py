"""``copilot-socket accounts``: lists, shows and deletes accounts, sets their limits, discovers their areas again."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

from copilot_socket.cli import several
from copilot_socket.cli.bulk import count
from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.limits import Settings
from copilot_socket.cli.listing import Listing
from copilot_socket.cli.node import Node, segment
from copilot_socket.cli.options import add_action, add_examples
from copilot_socket.cli.output import confirmed
from copilot_socket.cli.showing import Showing
from copilot_socket.cli.style import Screen, escaped
from copilot_socket.cli.tables import Column, Kind, details, text

ACCOUNTS = "/api/v1/accounts"
_LISTING = Listing(
    ACCOUNTS,
    "accounts",
    (
        Column("id", Kind.NAME),
        Column("credential_status", Kind.STATE),
        Column("token_expires_at", Kind.TIME),
        Column("weight", Kind.NUMBER),
        Column("max_running", Kind.NUMBER),
        Column("gitlab_url"),
        Column("credential_error"),
    ),
    "No accounts. First account and jobs: copilot-socket seed",
)
_JOBS = Column(
    "jobs", value=lambda account: text({name: number for name, number in account["jobs"].items() if number})
)
_SETTINGS = Settings(_LISTING, "id", "me", ("weight", "max_running"), filtered=True)
_SHOWING = Showing(ACCOUNTS, "accounts", lambda answer, on: list(details(answer, on)))


def add_arguments(parser: ArgumentParser) -> None:
    """The actions of ``accounts``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _LISTING.add_to(
        actions,
        "list the accounts",
        "copilot-socket accounts list --credential-status expired",
        "copilot-socket accounts list --include jobs --watch",
    )
    _SHOWING.add_to(
        actions,
        "show",
        "show accounts, how many jobs they have, and what holds these back",
        "ID",
        "copilot-socket accounts show me",
    )
    _SETTINGS.add_to(actions)
    again = add_action(actions, "rediscover", "discover the groups and projects of accounts again")
    several.add_names(again, "ID", _LISTING)
    again.add_argument(
        "--unless-within-hours", type=int, metavar="N", help="not where that was done within so many hours"
    )
    add_examples(again, "copilot-socket accounts rediscover me --unless-within-hours 24")
    deletion = add_action(actions, "delete", "delete accounts without live jobs, with all that belongs to them")
    several.add_names(deletion, "ID", _LISTING)
    add_examples(deletion, "copilot-socket accounts delete me --yes")
    add_examples(parser, "copilot-socket accounts list", "copilot-socket accounts set me --max-running 10")


def run(args: Namespace) -> int:
    """Run the action and return the exit status. Raises CommandError or ConfigFaults."""
    if args.action == "list":
        listing = _LISTING
        if "jobs" in (args.include or ""):
            listing = listing._replace(columns=(*listing.columns, _JOBS))
        return listing.run(args)
    if args.action == "show":
        return _SHOWING.run(args, {"include": "jobs,lanes"})
    if args.action == "set":
        return _SETTINGS.run(args)
    if args.action == "rediscover":
        return several.run(args, several.Act(_rediscovery(args), _discovered, _LISTING))
    if args.id and not args.yes and not confirmed(f"delete {', '.join(args.id)} with all jobs?"):
        raise CommandError("nothing was done")
    return several.run(args, several.Act(_delete, _deleted, _LISTING))


def _rediscovery(args: Namespace) -> Any:
    hours = args.unless_within_hours
    given = {} if hours is None else {"unless_within_hours": hours}
    return lambda node, name: node.request("POST", f"{ACCOUNTS}/{segment(name)}/rediscover", given)


def _discovered(answer: Any, _on: Screen) -> Iterator[str]:
    if answer["created"]:
        yield f"{answer['id']}  created"
    else:
        done = answer.get("finished_at")
        yield f"{answer['id']}  {f'completed {done}' if done else 'already live'}"


def _delete(node: Node, name: str) -> Any:
    """Until nothing is left: an answer says how much is, after some seconds."""
    jobs = 0
    while True:
        answer = node.request("DELETE", f"{ACCOUNTS}/{segment(name)}")
        jobs += answer["jobs_deleted"]
        if answer["deleted"]:
            return {**answer, "jobs_deleted": jobs}


def _deleted(answer: Any, _on: Screen) -> Iterator[str]:
    yield escaped(f"{text(answer['id'])}: deleted, with {count(answer['jobs_deleted'])}")
