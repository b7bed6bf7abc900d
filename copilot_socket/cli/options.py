"""Options that commands share: the configuration's variables, and examples in the help."""

import re
import textwrap
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from copilot_socket.config import Config


_PREFIX = "variable_"
_HELP_WIDTH = 100
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add_examples(parser: ArgumentParser, *lines: str) -> None:
    """End the help of *parser* with command lines to copy."""
    parser.description = textwrap.fill(parser.description or "", _HELP_WIDTH)
    parser.epilog = "\n  ".join(["examples:", *lines])
    parser.formatter_class = RawDescriptionHelpFormatter


def add_action(actions: Any, name: str, text: str, *parents: ArgumentParser) -> ArgumentParser:
    """Add a subcommand to *actions*, the result of `add_subparsers`; *text* is its help."""
    parser: ArgumentParser = actions.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", parents=parents
    )
    return parser


def add_config_options(parser: ArgumentParser, taken: Collection[str] = ()) -> None:
    """Add an option for each environment variable, such as `--database-url`, which overrides the variable.

    Options named in *taken* are left out: the command defines them itself.
    """
    from copilot_socket.config import option_names  # noqa: PLC0415 - not for commands that need none of it

    parser.usage = f"{parser.prog} [options]"  # too many to list in the usage too
    group = parser.add_argument_group(
        "configuration", "each option overrides the environment variable of the same name"
    )
    for option in option_names():
        if option.name in taken:
            continue
        group.add_argument(
            f"--{option.name}",
            dest=_PREFIX + option.variable,
            metavar="VALUE",
            default=SUPPRESS,
            help=option.help.replace("%", "%%"),
        )


def options_given(args: Namespace) -> dict[str, str]:
    """The values of the configuration's options in *args*, by variable."""
    given = vars(args).items()
    return {name.removeprefix(_PREFIX): str(value) for name, value in given if name.startswith(_PREFIX)}


def config_from(args: Namespace) -> "Config":
    """The configuration with the options in `args`. Raises ConfigFaults."""
    from copilot_socket.config import from_environment  # noqa: PLC0415 - not for --help

    return from_environment(options_given(args))


def duration(given: str) -> timedelta:
    """A length of time, as `15m`. Raises ArgumentTypeError."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", given)
    if found is None or int(found[1]) == 0:
        raise ArgumentTypeError("must be a number with s, m, h or d, such as 15m")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])
