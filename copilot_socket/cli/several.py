"""Acting on several objects: those that are named, or all that meet ``--filter``."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from copilot_socket.cli.answers import add_answer_options, print_answer, shown
from copilot_socket.cli.errors import CommandError, UsageError
from copilot_socket.cli.filters import add_filter_option
from copilot_socket.cli.listing import Listing
from copilot_socket.cli.node import Node, Refused, node_from
from copilot_socket.cli.output import complain, confirmed, emit, say, screen
from copilot_socket.cli.style import Screen
from copilot_socket.cli.tables import text

_NAMED = 5
"""How many names a question has."""


class Act(NamedTuple):
    """What is done to each: the *request*, and the *lines* of its answer for people.

    *key* is the column of *listing* that names an object. Lists without filters have no ``--filter``.
    """

    request: Callable[[Node, str], Any]
    lines: Callable[[Any, Screen], Iterable[str]]
    listing: Listing | None = None
    key: str = "id"


def add_names(parser: ArgumentParser, metavar: str, listing: Listing | None = None) -> None:
    """Add what names the objects, and ``--yes`` where a filter may name many."""
    add_answer_options(parser)
    parser.add_argument("id", nargs="*" if listing else "+", metavar=metavar)
    if listing is not None:
        add_filter_option(parser, listing.path)
        parser.add_argument("--yes", action="store_true", help="don't ask")


def run(args: Namespace, act: Act) -> int:
    """Do it to each; the exit status is 0 only if all worked. Raises CommandError and ConfigFaults.

    With --json, one name gives the answer of the API, several or a filter a list of them, ``results``.
    """
    if getattr(args, "filter", None) is None and len(args.id) == 1:
        [name] = args.id
        return print_answer(args, lambda node: act.request(node, name), lambda each, on: list(act.lines(each, on)))
    node = node_from(args)
    results = []
    failed = False
    for name in _names(node, args, act):
        try:
            results.append(act.request(node, name))
        except Refused as error:
            if error.status is None:
                raise
            failed = True
            results.append({act.key: name, "error": error.document or str(error)})
            if not args.json:
                complain(f"{name}: {error}")
        else:
            if not args.json:
                for line in shown(results[-1], lambda each, on: list(act.lines(each, on)), screen()):
                    say(line)
    if args.json:
        emit({"results": results})
    return 1 if failed else 0


def _names(node: Node, args: Namespace, act: Act) -> list[str]:
    """The names that were given, each once, or those that the filter finds, if that is confirmed."""
    filters = getattr(args, "filter", None)
    if bool(args.id) == (filters is not None):
        raise UsageError(f"{args.command} {args.action} needs either names, or --filter NAME=VALUE …")
    if filters is None:
        return list(dict.fromkeys(args.id))
    assert act.listing is not None
    found = [str(row[act.key]) for row in act.listing.all(node, filters)]
    if not found and not args.json:
        complain("nothing meets the filter")
    if found and not args.yes and not confirmed(f"{args.action} {_some(found)}?"):
        raise CommandError("nothing was done")
    return found


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(map(text, names[:_NAMED])) + more
