"""Exceptions about jobs and reports."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

Cause = Literal["job_error", "gitlab_unavailable", "rate_limited", "credential", "not_found", "forbidden"]
"""Why a job failed. The server infers a cause that is not named."""
Reason = Literal["paused", "shutdown", "rate_limited", "other"]
"""Why a job is given back."""


class JobFailure(Exception):
    """Raised by a handler to end its job as failed.

    A *recoverable* job is attempted again, by this crawler or another, from *resume_state* (by default the last one
    reported). Whether the failure spends one of its attempts depends on the *cause*.
    """

    def __init__(
        self,
        message: str,
        recoverable: bool = True,
        *,
        cause: Cause | None = None,
        resume_state: Mapping[str, Any] | None = None,
        partial_counts: Mapping[str, float] | None = None,
    ) -> None:
        # The server would refuse the report, and the job would stay assigned to a crawler that has ended it.
        if cause is not None and cause not in get_args(Cause):
            raise ValueError(f"cause must be one of {', '.join(get_args(Cause))}")
        super().__init__(message)
        self.recoverable = recoverable
        self.cause = cause
        self.resume_state = resume_state
        self.partial_counts = partial_counts


class TokenRefused(JobFailure):
    """There is no new token. If a handler lets it through, the job waits until the credential is renewed."""


class JobRelease(Exception):
    """Raised by a handler to give its job back, which spends no attempt.

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
