"""Groups of errors with the same fingerprint: what people have done about each, and what has come of it."""

from datetime import datetime, timedelta
from enum import StrEnum

LONG = timedelta(days=3)
"""A history of more than that is by day, others are by hour."""


class GroupStatus(StrEnum):
    """The states of a group."""

    OPEN = "open"
    """Nobody has done anything about it."""
    RETRIED = "retried"
    """Its jobs were retried, and it has not occurred since."""
    REGRESSED = "regressed"
    """Its jobs were retried, and it has occurred again."""
    IGNORED = "ignored"
    """Somebody knows it, and does not want to see it."""


def status_of(*, ignored: bool, errors_since_retry: int | None) -> GroupStatus:
    """The status of a group. *errors_since_retry* None: its jobs were never retried together."""
    if ignored:
        return GroupStatus.IGNORED
    if errors_since_retry is None:
        return GroupStatus.OPEN
    return GroupStatus.REGRESSED if errors_since_retry else GroupStatus.RETRIED


def unit_of(first: datetime, last: datetime) -> str:
    """The unit of a history between these times: ``hour`` or ``day``."""
    return "hour" if last - first <= LONG else "day"
