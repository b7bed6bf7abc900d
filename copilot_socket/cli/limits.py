"""What ``copilot-socket accounts`` and ``hosts`` share: lists, and settings of the rows in them."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from typing import Any

import attrs

from copilot_socket.cli.node import Node, add_url_option, print_answer, segment, with_query
from copilot_socket.cli.options import add_action, add_examples, add_page_options
from copilot_socket.cli.output import add_json_option, cell, page


@attrs.frozen
class Listed:
    """What is listed and set: ``path`` of the API, ``plural`` of its answer, ``columns``, and ``settings``.

    ``id``: the column that names a row; ``example``: such a name.
    """

    path: str
    plural: str
    id: str
    example: str
    columns: Sequence[str]
    settings: Sequence[str]
    empty: str

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The actions ``list`` and ``set``."""
        common = ArgumentParser(add_help=False)
        add_url_option(common)
        add_json_option(common)
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        listing = add_action(actions, "list", f"list the {self.plural}", common)
        add_page_options(listing, self.plural)
        add_examples(listing, f"copilot-socket {self.plural} list --limit 20")
        setting = add_action(actions, "set", f"change one of the {self.plural}", common)
        setting.add_argument("id", metavar=self.id.upper())
        if "weight" in self.settings:
            setting.add_argument("--weight", type=int, metavar="N", help="jobs a turn, 1 to 100")
        setting.add_argument(
            "--max-running",
            type=_limit,
            metavar="N",
            default=_UNSET,
            help="how many of its jobs run at a time, 1 to 100000, or none",
        )
        add_examples(setting, f"copilot-socket {self.plural} set {self.example} --max-running 10")
        add_examples(parser, f"copilot-socket {self.plural} list")

    def run(self, args: Namespace) -> int:
        """Run the action and return the exit status. Raises CommandError or ConfigFaults."""
        if args.action == "list":
            return print_answer(args, lambda node: self._list(node, args), self._listed)
        return print_answer(args, lambda node: self._set(node, args), self._shown)

    def _list(self, node: Node, args: Namespace) -> Any:
        return node.request("GET", with_query(self.path, {"limit": args.limit, "cursor": args.cursor}))

    def _set(self, node: Node, args: Namespace) -> Any:
        given = {"weight": args.weight} if getattr(args, "weight", None) is not None else {}
        if args.max_running is not _UNSET:
            given["max_running"] = args.max_running
        return node.request("PATCH", f"{self.path}/{segment(args.id)}", given)

    def _listed(self, answer: Any) -> list[str]:
        return page(answer, self.plural, self.columns, self.empty)

    def _shown(self, answer: Any) -> list[str]:
        lines = [f"{name}: {cell(answer[name])}" for name in (self.id, *self.settings)]
        waiting = answer.get("waiting_for_nodes")
        return lines + ([f"not confirmed by {', '.join(waiting)}"] if waiting else [])


_UNSET = object()


def _limit(given: str) -> int | None:
    if given == "none":
        return None
    try:
        return int(given)
    except ValueError:
        raise ArgumentTypeError("must be a number, or none") from None
