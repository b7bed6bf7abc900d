"""How an attempt ends: the type and data of its last report. Pure."""

from collections.abc import Mapping
from typing import Any

from copilot_socket.client.messages import milliseconds, present
from copilot_socket.client.problems import LONGEST_TEXT, JobFailure, JobRelease

Ending = tuple[str, dict[str, Any]]
"""Type and data of a message."""


def completed(counts: Mapping[str, float] | None) -> Ending:
    """The job is done."""
    return "job_completed", {"success": True, "finalCounts": dict(counts or {})}


def failed(failure: JobFailure, features: frozenset[str]) -> Ending:
    """The job has failed. The server is told a cause only if it understands it."""
    return "job_failed", present(
        error=str(failure)[:LONGEST_TEXT],
        errorType=failure.error_type,
        isRecoverable=failure.recoverable,
        cause=failure.cause if "cause" in features else None,
        resumeState=failure.resume_state,
        partialCounts=failure.partial_counts,
        stackTrace=failure.stack_trace,
        context=failure.context,
    )


def released(release: JobRelease, cursor: Mapping[str, Any] | None, features: frozenset[str]) -> Ending:
    """The job is given back, with *cursor* unless the release has one. A failure if the server knows no releases."""
    resume_state = cursor if release.resume_state is None else release.resume_state
    if "job_released" not in features:
        failure = JobFailure(str(release), resume_state=resume_state)
        return failed(failure, features)
    return "job_released", present(
        reason=release.reason,
        resumeState=resume_state,
        retryAfter=milliseconds(release.retry_after),
        message=release.message,
    )
