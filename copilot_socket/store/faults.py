"""The errors of the database, and their remedies: wait, repeat, or give the statement up."""

from enum import Enum

import psycopg2
from psycopg2.errors import CheckViolation, ForeignKeyViolation, ObjectInUse, UniqueViolation

__all__ = [
    "DATABASE_ERRORS",
    "DATA_ERRORS",
    "CheckViolation",
    "DatabaseAway",
    "ForeignKeyViolation",
    "ObjectInUse",
    "Remedy",
    "UniqueViolation",
    "broken_check",
    "connection_error",
    "hopeless",
    "lock_timed_out",
    "primary_message",
    "remedy",
    "sqlstate",
    "timed_out",
    "unknown_outcome",
]


class DatabaseAway(Exception):
    """PostgreSQL can't be reached, or the connection was lost; the outcome of a transaction is unknown then."""


DATABASE_ERRORS: tuple[type[Exception], ...] = (DatabaseAway, psycopg2.Error)
"""What a statement may raise. Other packages inspect these errors only with the functions of this module."""

DATA_ERRORS: tuple[type[psycopg2.Error], ...] = (psycopg2.IntegrityError, psycopg2.DataError)
"""PostgreSQL refuses the values of a row. The error quotes that row: log its :func:`primary_message` only."""

_CONNECTION_ERRORS = (DatabaseAway, psycopg2.OperationalError, psycopg2.InterfaceError)


class Remedy(Enum):
    """What to do about a failed statement."""

    WAIT = "the database is away or overloaded: repeat the statement later"
    REPEAT = "a conflict with another transaction: repeat the transaction immediately"
    REFUSE = "the data can't be stored: a repetition would fail, too"


_CONFLICTS = frozenset({"40001", "40P01", "55P03"})
# Classes of SQLSTATE that report a fault of the data (PostgreSQL manual, appendix A): cardinality, data, integrity,
# WITH CHECK OPTION, program limits, raised by a trigger. Not syntax and rights (42) or features (0A): the statements
# are correct, and a revoked right or a dropped table can be restored.
_DATA_CLASSES = frozenset({"21", "22", "23", "44", "54", "P0"})


def remedy(error: Exception) -> Remedy:
    """The remedy for *error*: to repeat, unless PostgreSQL refuses the data or nothing could be sent to it."""
    if isinstance(error, DatabaseAway):
        return Remedy.WAIT
    if not isinstance(error, psycopg2.Error) or isinstance(error, DATA_ERRORS):
        return Remedy.REFUSE  # not from PostgreSQL: values that can't be sent to it, or a bug of the node
    code = error.pgcode or ""
    if code in _CONFLICTS:
        return Remedy.REPEAT
    return Remedy.REFUSE if code[:2] in _DATA_CLASSES else Remedy.WAIT


def unknown_outcome(error: Exception) -> bool:
    """Whether a transaction that failed with *error* may be committed: not if PostgreSQL reported the error."""
    return sqlstate(error) is None


def sqlstate(error: BaseException | None) -> str | None:
    """The SQLSTATE of *error* (PostgreSQL manual, appendix A); None if the error is not from PostgreSQL."""
    code: str | None = getattr(error, "pgcode", None)
    return code


def timed_out(error: BaseException | None) -> bool:
    """Whether PostgreSQL ended a statement that took longer than its time-out."""
    return sqlstate(error) == "57014"


def lock_timed_out(error: BaseException | None) -> bool:
    """Whether a statement has waited for a lock for longer than its time-out."""
    return sqlstate(error) == "55P03"


def hopeless(error: Exception) -> bool:
    """Whether a repetition would fail, too: PostgreSQL refuses the data, or ran out of time, or a bug of the node."""
    return timed_out(error) or remedy(error) is Remedy.REFUSE


def broken_check(error: BaseException | None) -> str | None:
    """The message of a violated CHECK, or of a trigger in its place; None where *error* is of another kind."""
    return primary_message(error) if isinstance(error, CheckViolation) else None


def primary_message(error: psycopg2.Error) -> str | None:
    """The message of *error* without its detail, which quotes the refused row."""
    return error.diag.message_primary


def connection_error(error: BaseException | None) -> bool:
    """Whether the connection failed, or could not be made: libpq reports that without an SQLSTATE."""
    # psycopg2 raises a plain DatabaseError where libpq gives no error message.
    return sqlstate(error) is None and (
        isinstance(error, _CONNECTION_ERRORS) or type(error) is psycopg2.DatabaseError
    )
