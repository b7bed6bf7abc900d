"""Converts the data of messages into report bodies.

Secrets in free text and values are masked here, before anything is stored or logged. *token* is the access token that
the crawler was given for the job, or empty where this node does not have it.
"""

from typing import Any

import orjson

from copilot_socket.core.ends import Cause
from copilot_socket.core.errors import ProtocolError
from copilot_socket.core.inference import MOST_RETRY_AFTER, infer
from copilot_socket.core.masking import SHORTEST, masked, masked_json
from copilot_socket.core.messages import (
    Counts,
    Discovery,
    JobCompleted,
    JobFailed,
    JobProgress,
    JobReleased,
    JobsDiscovered,
    JobStarted,
)
from copilot_socket.core.reports import (
    Completed,
    Discovered,
    Encoded,
    Failed,
    GivenBack,
    Progressed,
    Refused,
    Started,
)


def started(_data: JobStarted, _token: str) -> Started:
    """``job_started``; its entity is not stored."""
    return Started()


def progressed(data: JobProgress, token: str) -> Progressed:
    """``job_progress``; ``items`` are not stored."""
    progress = {
        "stage": data.stage,
        "entityType": masked(data.entity_type, token),
        "processed": data.processed,
        "total": data.total,
        "message": _text(data.message, token),
        "itemCounts": _counts(data.item_counts, token),
        "currentPage": data.current_page,
        "processingRate": data.processing_rate,
        "estimatedTimeRemaining": data.estimated_time_remaining,
    }
    return Progressed(_given(progress), _encoded(data.resume_state, token))


def completed(data: JobCompleted, token: str) -> Completed | Failed:
    """``job_completed``; without ``success`` it is a recoverable failure."""
    message = _text(data.message, token)
    progress = _given(
        {
            "finalCounts": _counts(data.final_counts, token),
            "message": message,
            "outputFiles": _listed(data.output_files, token),
        }
    )
    if data.success:
        return Completed(progress)
    error = message or "completed without success"
    found = infer(error)
    return Failed(error, "unsuccessful", True, progress, cause=found.cause, inferred=True)


def failed(data: JobFailed, token: str) -> Failed:
    """``job_failed``; a cause that is not named is inferred."""
    found = infer(data.error, data.error_type, data.context)
    return Failed(
        masked(data.error, token),
        _text(data.error_type, token),
        data.is_recoverable,
        _given({"partialCounts": _counts(data.partial_counts, token)}),
        _encoded(data.resume_state, token),
        _text(data.stack_trace, token),
        _encoded(data.context, token),
        found.cause if data.cause is None else Cause(data.cause),
        data.cause is None,
        found.retry_after,
        found.blocked and data.cause in (None, Cause.FORBIDDEN, Cause.RATE_LIMITED),
    )


def given_back(data: JobReleased, token: str) -> GivenBack:
    """``job_released``; without a reason it is one of the crawler's own."""
    return GivenBack(
        _REASONS[data.reason or "other"],
        _text(data.message, token),
        _encoded(data.resume_state, token),
        None if data.retry_after is None else min(data.retry_after / 1000, MOST_RETRY_AFTER),
    )


_REASONS = {
    "paused": Cause.PAUSED,
    "shutdown": Cause.DRAINED,
    "rate_limited": Cause.RATE_LIMITED,
    "other": Cause.RELEASED,
}
"""``reason`` of ``job_released`` → the cause of the attempt's end."""


def jobs_discovered(data: JobsDiscovered, token: str) -> Discovered:
    """``jobs_discovered``."""
    return Discovered(data.discovered_jobs, _given({"discoverySummary": _object(data.discovery_summary, token)}))


def discovery(data: Discovery) -> Discovered:
    """``discovery``; entities are areas only if their type is ``group`` or ``project``."""
    return Discovered(data.entities if data.entity_type in ("group", "project") else ())


def refused(error: ProtocolError, token: str, *, known: bool) -> Refused:
    """A discovery that was refused as a whole, with *error*, which may quote it."""
    where = "" if not error.path else f" at {error.path}"
    return Refused(masked(f"{error.message} ({error.message_type}{where})", token), str(error.code), known)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _text(value: str | None, token: str) -> str | None:
    return None if value is None else masked(value, token)


def _counts(counts: Counts | None, token: str) -> Counts | None:
    """*counts*, masked: names are free text, but most are too short for a secret."""
    if not counts or len(max(counts, key=len)) < SHORTEST:
        return counts
    return _object(counts, token)


def _object(value: dict[str, Any] | None, token: str) -> dict[str, Any] | None:
    if value is None:
        return None
    found: dict[str, Any] = orjson.loads(masked_json(orjson.dumps(value), token))
    return found


def _listed(names: tuple[str, ...] | None, token: str) -> list[str] | None:
    found = None if names is None else _object({"names": names}, token)
    return None if found is None else found.get("names", [])


def _encoded(value: dict[str, Any] | None, token: str) -> Encoded | None:
    # A copy: the bytes that orjson returns take at least 8 KiB.
    return None if value is None else masked_json(bytes(memoryview(orjson.dumps(value))), token)
