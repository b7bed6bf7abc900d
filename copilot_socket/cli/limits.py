"""What ``copilot-socket accounts`` and ``hosts`` share: settings of the rows in lists."""

from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from copilot_socket.cli import several
from copilot_socket.cli.listing import Listing
from copilot_socket.cli.node import Node, segment
from copilot_socket.cli.options import add_action, add_examples
from copilot_socket.cli.style import Screen, escaped
from copilot_socket.cli.tables import text


class Settings(NamedTuple):
    """What is set of the rows of a list, each of which the column *key* names; *example*: such a name."""

    listing: Listing
    key: str
    example: str
    names: Sequence[str]
    filtered: bool = False

    def add_to(self, actions: Any) -> None:
        """Add the action ``set``."""
        plural = self.listing.plural
        parser = add_action(actions, "set", f"change {plural}")
        several.add_names(parser, self.key.upper(), self.listing if self.filtered else None)
        if "weight" in self.names:
            parser.add_argument("--weight", type=int, metavar="N", help="jobs a turn, 1 to 100")
        parser.add_argument(
            "--max-running",
            type=_limit,
            metavar="N",
            default=_UNSET,
            help="how many of its jobs run at a time, 1 to 100000, or none",
        )
        add_examples(parser, f"copilot-socket {plural} set {self.example} --max-running 10")

    def run(self, args: Namespace) -> int:
        """Change what was named. Raises CommandError or ConfigFaults."""
        given = {"weight": args.weight} if getattr(args, "weight", None) is not None else {}
        if args.max_running is not _UNSET:
            given["max_running"] = args.max_running

        def request(node: Node, name: str) -> Any:
            return node.request("PATCH", f"{self.listing.path}/{segment(name)}", given)

        return several.run(
            args, several.Act(request, self._changed, self.listing if self.filtered else None, self.key)
        )

    def _changed(self, answer: Any, _on: Screen) -> Iterable[str]:
        for name in (self.key, *self.names):
            yield escaped(f"{name}: {text(answer[name])}")
        waiting = answer.get("waiting_for_nodes")
        if waiting:
            yield escaped(f"not confirmed by {', '.join(waiting)}")


_UNSET = object()


def _limit(given: str) -> int | None:
    if given == "none":
        return None
    try:
        return int(given)
    except ValueError:
        raise ArgumentTypeError("must be a number, or none") from None
