"""Options for the configuration's variables, for every command that needs the configuration."""

from argparse import SUPPRESS, ArgumentParser, Namespace

from copilot_socket.config import Config, from_environment, option_names

_PREFIX = "variable_"


def add_config_options(parser: ArgumentParser) -> None:
    """One option for each environment variable, such as `--database-url`; it beats the environment."""
    group = parser.add_argument_group("configuration", "each option stands for the environment variable of its name")
    for option in option_names():
        group.add_argument(
            f"--{option.name}",
            dest=_PREFIX + option.variable,
            metavar="VALUE",
            default=SUPPRESS,
            help=option.help.replace("%", "%%"),
        )


def config_from(args: Namespace) -> Config:
    """The configuration with the options in `args`. Raises ConfigFaults."""
    given = vars(args).items()
    return from_environment({name.removeprefix(_PREFIX): str(v) for name, v in given if name.startswith(_PREFIX)})
