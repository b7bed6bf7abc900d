"""Showing one object of the API, or several."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from copilot_socket.cli.answers import Lines, add_answer_options, print_answer
from copilot_socket.cli.node import Node, Refused, segment, with_query
from copilot_socket.cli.options import add_action, add_examples
from copilot_socket.cli.style import Screen
from copilot_socket.core.printing import printable


class Showing(NamedTuple):
    """How objects below *path* (and before *suffix*) are shown: *lines* of one, the member of several's JSON.

    *beside* adds to an object what only people are shown.
    """

    path: str
    plural: str
    lines: Lines
    suffix: str = ""
    beside: Callable[[Node, Any], Any] | None = None

    def add_to(self, actions: Any, name: str, text: str, metavar: str, *examples: str) -> ArgumentParser:
        """Add the action *name* with this help and these examples."""
        parser = add_action(actions, name, text)
        add_answer_options(parser, watch=True)
        parser.add_argument("id", nargs="+", metavar=metavar)
        add_examples(parser, *examples)
        return parser

    def run(self, args: Namespace, asked: Mapping[str, Any] | None = None) -> int:
        """Print what was named, with these parameters. Raises CommandError or ConfigFaults."""
        names = list(dict.fromkeys(args.id))

        def request(node: Node) -> Any:
            found = [self.one(node, name, asked or {}) for name in names]
            if self.beside is not None and not args.json:
                found = [self.beside(node, each) for each in found]
            return found[0] if len(names) == 1 else {self.plural: found}

        return print_answer(args, request, self._shown if len(names) > 1 else self.lines)

    def one(self, node: Node, name: str, asked: Mapping[str, Any]) -> Any:
        """One of them. Raises :class:`Refused`, which names it."""
        try:
            return node.request("GET", with_query(f"{self.path}/{segment(name)}{self.suffix}", asked))
        except Refused as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            raise Refused(f"{error}: {printable(name)}", error.document, error.status) from None

    def _shown(self, answer: Any, on: Screen) -> Sequence[str]:
        found: list[str] = []
        for each in answer[self.plural]:
            found += ["", *self.lines(each, on)] if found else self.lines(each, on)
        return found
