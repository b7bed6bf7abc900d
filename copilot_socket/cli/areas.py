"""``copilot-socket areas``: lists and counts the groups and projects that were discovered."""

from argparse import ArgumentParser, Namespace
from typing import Any

from copilot_socket.cli.answers import add_answer_options, print_answer
from copilot_socket.cli.listing import Listing
from copilot_socket.cli.options import add_action, add_examples
from copilot_socket.cli.style import Screen
from copilot_socket.cli.tables import Column, Kind, table, text, when

AREAS = "/api/v1/areas"
_STATS = f"{AREAS}/stats"


def _jobs(area: Any) -> str | None:
    """By state, without those that have none."""
    jobs = area.get("jobs")
    return None if jobs is None else text({state: number for state, number in jobs.items() if number})


_LISTING = Listing(
    AREAS,
    "areas",
    (
        Column("full_path", Kind.PATH),
        Column("type"),
        Column("name"),
        Column("created_at", Kind.TIME),
        Column("gitlab_origin"),
    ),
    "No areas: a GROUP_PROJECT_DISCOVERY job finds them (copilot-socket accounts rediscover ACCOUNT)",
)
_COUNTED = (Column("accounts", Kind.NUMBER), Column("jobs", value=_jobs))


def add_arguments(parser: ArgumentParser) -> None:
    """The actions of ``areas``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _LISTING.add_to(
        actions,
        "list groups and projects by their path",
        "copilot-socket areas list --path-prefix acme --include counts",
        "copilot-socket areas list --type group --order=-created_at --total",
    )
    stats = add_action(actions, "stats", "count groups and projects, and their discoveries")
    add_answer_options(stats, watch=True)
    add_examples(stats, "copilot-socket areas stats")
    add_examples(parser, "copilot-socket areas list", "copilot-socket areas stats")


def run(args: Namespace) -> int:
    """Run the action and return the exit status. Raises CommandError or ConfigFaults."""
    if args.action == "stats":
        return print_answer(args, lambda node: node.request("GET", _STATS), _counted)
    if "counts" in (args.include or ""):
        return _LISTING._replace(columns=(*_LISTING.columns, *_COUNTED)).run(args)
    return _LISTING.run(args)


def _counted(answer: Any, on: Screen) -> list[str]:
    found = answer["areas"]
    columns = (Column("gitlab_origin", Kind.NAME), Column("type"), Column("total", Kind.NUMBER, _total))
    lines: list[str] = list(table(columns, found, on)) if found else ["No areas"]
    lines += [f"found within {_days(each['days'])}: {_total(each)}" for each in answer["found"]]
    discoveries = answer["discoveries"]
    lines.append(f"discoveries: {_jobs(discoveries) or '-'}")
    if discoveries["last_completed_at"]:
        lines.append(f"last completed: {when(discoveries['last_completed_at'], on)}")
    return lines


def _total(count: Any) -> str:
    return f"{'' if count['total_exact'] else 'about '}{count['total']:,}"


def _days(days: int) -> str:
    return "a day" if days == 1 else f"{days} days"
