"""What a database error means for the caller: wait, repeat, or give this statement up."""

from enum import Enum

import psycopg2.errors


class DatabaseAway(Exception):
    """PostgreSQL can't be reached or the connection was lost; what was under way may or may not be committed."""


DATABASE_ERRORS: tuple[type[Exception], ...] = (DatabaseAway, psycopg2.Error)
"""What a statement may raise. Outside this package nobody looks closer than the functions here."""


class Remedy(Enum):
    """What to do about a failed statement."""

    WAIT = "the database is away or overloaded: the same again later"
    REPEAT = "a conflict with another transaction: the same again now"
    REFUSE = "the data can't be stored: again would fail again"


_CONFLICTS = frozenset({"40001", "40P01"})
# Classes of SQLSTATE that speak of the data (PostgreSQL manual, appendix A): cardinality, data, integrity, WITH CHECK
# OPTION, program limits, raised by a trigger. Not those of syntax and rights (42) or of features (0A): the statements
# are right, and whoever has taken a right or a table away gives it back.
_DATA_CLASSES = frozenset({"21", "22", "23", "44", "54", "P0"})


def remedy(error: Exception) -> Remedy:
    """Which remedy *error* calls for: another try, unless PostgreSQL refuses the data or nothing was sent to it."""
    if isinstance(error, DatabaseAway):
        return Remedy.WAIT
    if not isinstance(error, psycopg2.Error) or isinstance(error, psycopg2.DataError | psycopg2.IntegrityError):
        return Remedy.REFUSE  # not PostgreSQL's: values that can't be sent to it, or a fault of ours
    code = error.pgcode or ""
    if code in _CONFLICTS:
        return Remedy.REPEAT
    return Remedy.REFUSE if code[:2] in _DATA_CLASSES else Remedy.WAIT


def unknown_outcome(error: Exception) -> bool:
    """Whether what failed with *error* may be committed all the same: not if it was PostgreSQL that said so."""
    return sqlstate(error) is None


def sqlstate(error: Exception) -> str | None:
    """PostgreSQL's code of *error* (its manual, appendix A); None if it said nothing."""
    code: str | None = getattr(error, "pgcode", None)
    return code


def broken_check(error: BaseException | None) -> str | None:
    """What a CHECK, or a trigger in its place, says of the data; None where *error* is of another kind."""
    return error.diag.message_primary if isinstance(error, psycopg2.errors.CheckViolation) else None
