"""Which options a command line has for the variables."""

import attrs

from copilot_socket.config.table import VARIABLES

_NOT_ALL_SECRET = "DATABASE_URL"


@attrs.frozen
class Option:
    """A command-line option for a variable: `name` without dashes, `variable` for `load`'s overrides."""

    name: str
    variable: str
    help: str


def option_names() -> tuple[Option, ...]:
    """One option for each variable but the secrets, in the table's order: a command line is there for all to see."""
    return tuple(
        Option(variable.option, variable.name, variable.help)
        for variable in VARIABLES
        if not variable.secret or variable.name == _NOT_ALL_SECRET
    )
