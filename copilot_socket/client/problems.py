"""Exceptions about jobs and reports."""

from collections.abc import Mapping
from typing import Any


class JobFailure(Exception):
    """Raised by a handler to end its job as failed.

    A *recoverable* job is attempted again, by this crawler or another, from *resume_state* (by default the last one
    reported).
    """

    def __init__(
        self,
        message: str,
        recoverable: bool = True,
        *,
        resume_state: Mapping[str, Any] | None = None,
        partial_counts: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(message)
        self.recoverable = recoverable
        self.resume_state = resume_state
        self.partial_counts = partial_counts


class TokenRefused(JobFailure):
    """There is no new token. If a handler lets it through, the job waits until the credential is renewed."""


class ReportRefused(Exception):
    """The server answered a report with an error; *code* is one of the protocol's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class JobGone(ReportRefused):
    """The job is no longer assigned to this crawler; nothing can be reported on it."""
