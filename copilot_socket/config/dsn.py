"""Reading database URLs, as libpq does."""

from typing import Any


class UnreadableURL(ValueError):
    """libpq can't parse it. Says nothing of it, which may hold a password."""


def dsn_parts(url: str) -> dict[str, Any]:
    """The parameters of a database URL. Raises :class:`UnreadableURL`."""
    import psycopg2  # noqa: PLC0415 - takes longer to import than commands without a database take
    from psycopg2.extensions import parse_dsn  # noqa: PLC0415

    try:
        found: dict[str, Any] = parse_dsn(url)
    except psycopg2.ProgrammingError:
        # Not chained: the error quotes the URL, including the password.
        raise UnreadableURL("unreadable") from None
    return found
