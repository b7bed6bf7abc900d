"""A list of the API as a command: its options, its request, its table."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from copilot_socket.cli.answers import add_answer_options, page, print_answer
from copilot_socket.cli.filters import add_list_options, query
from copilot_socket.cli.node import Node, with_query
from copilot_socket.cli.options import add_action, add_examples
from copilot_socket.cli.style import Screen
from copilot_socket.cli.tables import Column

_MOST = 1000
"""Rows of a page that is read for all its rows."""


class Listing(NamedTuple):
    """A list: its *path* in the API, the member of the answer, the columns for people, what is said if it is empty.

    *taken*: parameters that have no option of their own, or one of the command's.
    """

    path: str
    plural: str
    columns: Sequence[Column]
    empty: str
    taken: Sequence[str] = ()

    def add_to(self, actions: Any, text: str, *examples: str) -> ArgumentParser:
        """Add the action ``list`` with this help and these examples."""
        parser = add_action(actions, "list", text)
        add_answer_options(parser, watch=True)
        add_list_options(parser, self.path, self.taken)
        add_examples(parser, *examples)
        return parser

    def run(self, args: Namespace, further: Mapping[str, Any] | None = None) -> int:
        """Print the list; *further* parameters are asked for, too. Raises CommandError or ConfigFaults."""
        asked = {**query(args), **(further or {})}
        found = self._replace(empty="Nothing meets the filter") if getattr(args, "filter", None) else self
        return print_answer(args, lambda node: node.request("GET", with_query(self.path, asked)), found.lines)

    def lines(self, answer: Any, on: Screen) -> list[str]:
        """The table of an answer."""
        return page(answer, self.plural, self.columns, self.empty, on)

    def all(self, node: Node, filters: Mapping[str, Any]) -> Iterator[Any]:
        """All rows that meet *filters*, page by page."""
        cursor = None
        while True:
            found = node.request("GET", with_query(self.path, {**filters, "limit": _MOST, "cursor": cursor}))
            yield from found[self.plural]
            cursor = found["next"]
            if cursor is None:
                return
