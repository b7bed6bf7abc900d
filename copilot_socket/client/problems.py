"""Exceptions about jobs and reports."""

import traceback
from collections.abc import Mapping
from typing import Any, Literal, get_args

Cause = Literal["job_error", "gitlab_unavailable", "rate_limited", "credential", "not_found", "forbidden"]
"""Why a job failed. The server infers a cause that is not named."""
Reason = Literal["paused", "shutdown", "rate_limited", "other"]
"""Why a job is given back."""
LONGEST_TEXT = 8000
"""Characters of an error's text that are reported, and of its traceback, of which these are the last."""


class JobFailure(Exception):
    """Raised to end a job as failed.

    A *recoverable* job is attempted again, by this crawler or another, from *resume_state* (by default the last one
    reported). Whether the failure spends one of its attempts depends on the *cause*; where none is named, the server
    infers one, also from *context*, such as ``{"httpStatus": 503}``.
    """

    def __init__(
        self,
        message: str,
        recoverable: bool = True,
        *,
        cause: Cause | None = None,
        resume_state: Mapping[str, Any] | None = None,
        partial_counts: Mapping[str, float] | None = None,
        error_type: str | None = None,
        stack_trace: str | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        # The server would refuse the report, and the job would stay assigned to a crawler that has ended it.
        if cause is not None and cause not in get_args(Cause):
            raise ValueError(f"cause must be one of {', '.join(get_args(Cause))}")
        super().__init__(message)
        self.recoverable = recoverable
        self.cause = cause
        self.resume_state = resume_state
        self.partial_counts = partial_counts
        self.error_type = error_type or type(self).__name__
        self.stack_trace = stack_trace
        self.context = context

    @classmethod
    def of(cls, error: BaseException) -> "JobFailure":
        """The failure that *error* means: itself, or a recoverable one with its name and traceback."""
        if isinstance(error, JobFailure):
            return error
        trace = "".join(traceback.format_exception(error))[-LONGEST_TEXT:]
        name = type(error).__name__
        return cls(str(error) or name, error_type=name, stack_trace=trace)


class TokenRefused(JobFailure):
    """There is no new token. If it is not caught, the job waits until the credential is renewed."""


class JobRelease(Exception):
    """Raised to give a job back, which spends no attempt.

    The job is assigned again, *retry_after* seconds later at the earliest, and resumes from *resume_state* (by
    default the last one reported).
    """

    def __init__(
        self,
        reason: Reason = "other",
        message: str | None = None,
        *,
        retry_after: float | None = None,
        resume_state: Mapping[str, Any] | None = None,
    ) -> None:
        if reason not in get_args(Reason):
            raise ValueError(f"reason must be one of {', '.join(get_args(Reason))}")
        super().__init__(reason if message is None else f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.resume_state = resume_state


class ReportRefused(Exception):
    """The server answered a report with an error; *code* is one of the protocol's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class JobGone(ReportRefused):
    """The job is no longer assigned to this crawler; nothing can be reported on it."""


def unexpected(error: BaseException) -> bool:
    """Whether *error* is none of those by which a crawler's code says how its job ends: a fault to be logged."""
    return not isinstance(error, JobFailure | JobRelease | ReportRefused)


def left_by(error: BaseException | None) -> Exception:
    """What it means for a job that has not ended that its block is left: by *error*, or without one."""
    if error is None:
        return JobFailure("the crawler left the job without complete(), fail() or release()")
    return error if isinstance(error, Exception) else JobRelease("shutdown")
