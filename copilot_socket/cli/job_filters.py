"""The filters of jobs on the command line, made from the classes that describe them over HTTP."""

import argparse
from collections.abc import Iterable
from typing import Any

from copilot_socket.cli.errors import CommandError
from copilot_socket.http.fields import Field, fields_of
from copilot_socket.http.job_queries import JobFilterBody, JobQuery

_PREFIX = "job_"
"""Of attributes, for args.command is the subcommand of copilot-socket."""
_LISTED = fields_of(JobQuery)
_FILTERS = fields_of(JobFilterBody)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each parameter of a list of jobs."""
    for name, field in _LISTED.items():
        option, attribute = f"--{name.replace('_', '-')}", _PREFIX + name
        if field.default is False:
            parser.add_argument(option, dest=attribute, action="store_const", const="true", help=_help(field))
        else:
            parser.add_argument(option, dest=attribute, metavar=name.upper(), help=_help(field))


def query(args: argparse.Namespace) -> dict[str, str | None]:
    """The parameters that were given as options."""
    return {name: getattr(args, _PREFIX + name) for name in _LISTED}


def body(given: Iterable[str]) -> dict[str, Any]:
    """The filter that *given* ``name=value`` make, as JSON. Raises CommandError."""
    found: dict[str, Any] = {}
    for each in given:
        name, equals, text = each.partition("=")
        field = _FILTERS.get(name.replace("-", "_"))
        if field is None or not equals:
            raise CommandError(f"--filter {each}: must be name=value, with one of the names {', '.join(_FILTERS)}")
        if name.replace("-", "_") in found:
            raise CommandError(f"--filter {name}: must be given only once; several values are separated by commas")
        found[name.replace("-", "_")] = field.check.parse(text)
    return found


def _help(field: Field) -> str:
    values = field.check.schema.get("items", field.check.schema).get("enum", ())
    several = " (several: separated by commas)" if field.check.schema["type"] == "array" else ""
    allowed = f": {', '.join(values)}{several}" if values else ": true or false" if _is_flag(field) else ""
    return f"{field.doc[0].lower()}{field.doc[1:].rstrip('.')}{allowed}".replace("%", "%%")


def _is_flag(field: Field) -> bool:
    return field.check.schema["type"] == "boolean" and field.default is None
