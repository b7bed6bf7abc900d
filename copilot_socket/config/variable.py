"""The description of an environment variable."""

import attrs

from copilot_socket.config.parsers import Parser


@attrs.frozen
class Variable:
    """One row of the table.

    `field` is the attribute of Config. Defaults are texts, parsed like any value; "" means none; `production` None
    means `default`; a default in angle brackets is computed in `loading`. `or_else` names a variable used if this one
    is unset; `synonym` an alias whose value must not differ.
    """

    name: str
    field: str
    parser: Parser
    default: str
    production: str | None = None
    help: str = attrs.field(kw_only=True)
    secret: bool = False
    or_else: str | None = None
    synonym: str | None = None

    def default_in(self, environment: str) -> str:
        """The default's text in `environment`; "" if there is none."""
        if environment == "production" and self.production is not None:
            return self.production
        return self.default

    @property
    def option(self) -> str:
        """The command-line option without its dashes: `socket-path`."""
        return self.name.lower().replace("_", "-")
