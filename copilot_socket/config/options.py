"""The command-line options for the variables."""

import attrs

from copilot_socket.config.table import VARIABLES

_ALSO_WITHOUT_SECRET = "DATABASE_URL"  # an option if it has no password


@attrs.frozen
class Option:
    """A command-line option for a variable: `name` without dashes, `variable` for `load`'s overrides."""

    name: str
    variable: str
    help: str


def option_names() -> tuple[Option, ...]:
    """An option for each variable except secrets, in the table's order: all users can read command lines."""
    return tuple(
        Option(variable.option, variable.name, variable.help)
        for variable in VARIABLES
        if not variable.secret or variable.name == _ALSO_WITHOUT_SECRET
    )
