"""What a database error means for the caller: wait, repeat, or give this statement up."""

from enum import Enum

import psycopg2


class DatabaseAway(Exception):
    """PostgreSQL can't be reached or the connection was lost; what was under way may or may not be committed."""


class Remedy(Enum):
    """What to do about a failed statement."""

    WAIT = "the database is away or overloaded: the same again later"
    REPEAT = "a conflict with another transaction: the same again now"
    REFUSE = "the data can't be stored: again would fail again"


_CONFLICTS = frozenset({"40001", "40P01"})
# Classes of SQLSTATE that speak of the data or of a rule of the schema (PostgreSQL manual, appendix A):
# feature, cardinality, data, integrity, syntax and rights, program limits, raised by a trigger.
_DATA_CLASSES = frozenset({"0A", "21", "22", "23", "42", "44", "54", "P0"})


def remedy(error: BaseException) -> Remedy:
    """Which remedy *error* calls for. What is not known to be the data's fault is worth another try."""
    code = getattr(error, "pgcode", None) or ""
    if code in _CONFLICTS:
        return Remedy.REPEAT
    if code[:2] in _DATA_CLASSES:
        return Remedy.REFUSE
    if isinstance(error, psycopg2.DataError | psycopg2.IntegrityError | ValueError | TypeError):
        return Remedy.REFUSE
    return Remedy.WAIT
