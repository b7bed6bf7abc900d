"""``--filter NAME=VALUE``, the same wherever there is a list, and what else lists may be asked for.

The names and their values are those of the API: ``parameters.json`` is made from its classes
(:mod:`copilot_socket.http.parameters`), which take too long to import.
"""

import json
from argparse import Action, ArgumentError, ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

_PAGING = ("limit", "cursor", "total", "order", "include")
"""How a list is shown; all other parameters are filters."""


class Parameter(NamedTuple):
    """A parameter of a list: what it means, its kind as in :mod:`copilot_socket.http.parameters`, allowed values."""

    doc: str
    kind: str
    values: Sequence[str] = ()

    @property
    def help(self) -> str:
        """For ``--help``."""
        several = " (several: separated by commas)" if self.kind == "several" else ""
        allowed = f": {', '.join(self.values)}{several}" if self.values else ""
        return f"{self.doc[0].lower()}{self.doc[1:].rstrip('.')}{allowed}".replace("%", "%%")

    def json(self, text: str) -> Any:
        """*text* as a value of a JSON document; what is wrong is left to the node to refuse."""
        if self.kind == "several":
            return text.split(",")
        return {"true": True, "false": False}.get(text, text) if self.kind == "flag" else text


class Values(tuple[str, ...]):
    """The choices of an option that also takes several of them, separated by commas."""

    __slots__ = ()

    def __contains__(self, given: object) -> bool:
        return isinstance(given, str) and all(each in tuple(self) for each in given.split(","))


@cache
def parameters(path: str) -> Mapping[str, Parameter]:
    """The parameters of a list, by name."""
    known = json.loads(Path(__file__).with_name("parameters.json").read_text("utf-8"))
    return {name: Parameter(**each) for name, each in known[path].items()}


def filters(path: str) -> Mapping[str, Parameter]:
    """The filters of a list, by name."""
    return {name: each for name, each in parameters(path).items() if name not in _PAGING}


class _Filter(Action):
    """Collects filters in one mapping, whether they are given as ``--filter`` or by an option of their own."""

    def __init__(self, *args: Any, known: Mapping[str, Parameter], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._known = known

    def __call__(self, _parser: ArgumentParser, args: Namespace, given: Any, option: str | None = None) -> None:
        """Add what was given. Raises ArgumentError for an unknown name, and for one that is given twice."""
        if option == "--filter":
            pairs = [self._pair(each) for each in given]
        else:
            pairs = [((option or "").removeprefix("--").replace("-", "_"), given)]
        found: dict[str, str] = dict(getattr(args, "filter", None) or {})
        for name, value in pairs:
            if name in found:
                raise ArgumentError(self, f"{name} must be given only once; several values are separated by commas")
            found[name] = value
        args.filter = found

    def _pair(self, given: str) -> tuple[str, str]:
        name, equals, value = given.partition("=")
        name = name.replace("-", "_")
        if name not in self._known or not equals:
            raise ArgumentError(
                self, f"{given}: must be NAME=VALUE, with one of the names {', '.join(self._known) or 'none'}"
            )
        allowed, several = self._known[name].values, self._known[name].kind == "several"
        if allowed and not all(each in allowed for each in (value.split(",") if several else [value])):
            raise ArgumentError(self, f"{given}: must be {_listed(allowed)}{', or several' if several else ''}")
        return name, value


def _listed(values: Sequence[str]) -> str:
    return f"one of {', '.join(values)}"


class Names(tuple[str, ...]):
    """The choices of ``--filter``, for completion; what is wrong is told by the action."""

    __slots__ = ()

    def __contains__(self, _given: object) -> bool:
        return True


def add_filter_option(parser: ArgumentParser, path: str) -> None:
    """Add ``--filter``, by the parameters of the list at *path*."""
    known = filters(path)
    parser.add_argument(
        "--filter",
        action=_Filter,
        known=known,
        nargs="+",
        choices=Names(f"{name}=" for name in known),
        metavar="NAME=VALUE",
        help=f"those that meet this; NAME is {', '.join(known)}",
    )


def add_list_options(parser: ArgumentParser, path: str, taken: Sequence[str] = ()) -> None:
    """Add ``--filter``, an option for each filter but those *taken* by others, and options for the page."""
    parser.usage = f"{parser.prog} [options]"  # they may be too many to list in the usage too
    known = parameters(path)
    if filters(path):
        add_filter_option(parser, path)
    for name, each in filters(path).items():
        if name not in taken:
            parser.add_argument(
                option(name), dest="filter", action=_Filter, known=known, metavar=name.upper(), help=each.help,
                choices=_choices(each),
            )  # fmt: skip
    for name, each in known.items():
        if name in _PAGING and name not in taken:
            _add_paging(parser, name, each)


def _add_paging(parser: ArgumentParser, name: str, each: Parameter) -> None:
    if each.kind == "switch":
        parser.add_argument(option(name), dest=name, action="store_const", const="true", help=each.help)
    else:
        kind = int if each.kind == "number" else str
        metavar = "N" if kind is int else name.upper()
        parser.add_argument(
            option(name), dest=name, metavar=metavar, type=kind, help=each.help, choices=_choices(each)
        )


def _choices(each: Parameter) -> Sequence[str] | None:
    return (Values(each.values) if each.kind == "several" else each.values) or None


def option(name: str) -> str:
    """The option for a parameter."""
    return f"--{name.replace('_', '-')}"


def query(args: Namespace) -> dict[str, Any]:
    """The parameters that were given as options."""
    return {**(getattr(args, "filter", None) or {}), **dict(_paging(args))}


def _paging(args: Namespace) -> Iterator[tuple[str, Any]]:
    for name in _PAGING:
        if (value := getattr(args, name, None)) is not None:
            yield name, value


def body(args: Namespace, path: str) -> dict[str, Any]:
    """The filters that were given, as JSON."""
    known = filters(path)
    return {name: known[name].json(value) for name, value in (args.filter or {}).items()}
