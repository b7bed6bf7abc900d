"""Why attempts end: causes (docs/protocol.md, "Causes"), and what each means for the job."""

from enum import StrEnum


class Cause(StrEnum):
    """Why an attempt ended; the values of the column ``cause``.

    ``job_history`` keeps their order: a new one comes last.
    """

    COMPLETED = "completed"
    JOB_ERROR = "job_error"
    TIMED_OUT = "timed_out"
    NOT_FOUND = "not_found"
    FORBIDDEN = "forbidden"
    GITLAB_UNAVAILABLE = "gitlab_unavailable"
    RATE_LIMITED = "rate_limited"
    CREDENTIAL = "credential"
    CRAWLER_LOST = "crawler_lost"
    IDLE = "idle"
    RELEASED = "released"
    PAUSED = "paused"
    DRAINED = "drained"
    STUCK = "stuck"
    POISON = "poison"
    CANCELLED = "cancelled"


FAILURES = (
    Cause.JOB_ERROR,
    Cause.GITLAB_UNAVAILABLE,
    Cause.RATE_LIMITED,
    Cause.CREDENTIAL,
    Cause.NOT_FOUND,
    Cause.FORBIDDEN,
)
"""The causes that a crawler may name in ``job_failed``."""

SPENDING = frozenset({Cause.JOB_ERROR, Cause.TIMED_OUT, Cause.NOT_FOUND, Cause.FORBIDDEN})
"""The causes that spend an attempt."""
