"""What messages say, in terms of the job logic: wire data in, report bodies out."""

from typing import Any

import orjson

from copilot_socket.core.messages import (
    Discovery,
    JobCompleted,
    JobFailed,
    JobProgress,
    JobsDiscovered,
    JobStarted,
)
from copilot_socket.core.reports import Completed, Discovered, Encoded, Failed, Progressed, Started


def started(data: JobStarted) -> Started:
    """``job_started``."""
    return Started(data.entity_type, data.entity_id)


def progressed(data: JobProgress) -> Progressed:
    """``job_progress``; ``items`` are not stored."""
    progress = {
        "stage": data.stage,
        "entityType": data.entity_type,
        "processed": data.processed,
        "total": data.total,
        "message": data.message,
        "itemCounts": data.item_counts,
        "currentPage": data.current_page,
        "processingRate": data.processing_rate,
        "estimatedTimeRemaining": data.estimated_time_remaining,
    }
    return Progressed(_given(progress), _encoded(data.resume_state))


def completed(data: JobCompleted) -> Completed | Failed:
    """``job_completed``; without success it is a failure that may be tried again."""
    progress = _given(
        {"finalCounts": data.final_counts, "message": data.message, "outputFiles": _listed(data.output_files)}
    )
    if data.success:
        return Completed(progress)
    return Failed(data.message or "completed without success", "unsuccessful", True, progress)


def failed(data: JobFailed) -> Failed:
    """``job_failed``."""
    return Failed(
        data.error,
        data.error_type,
        data.is_recoverable,
        _given({"partialCounts": data.partial_counts}),
        _encoded(data.resume_state),
        data.stack_trace,
        _encoded(data.context),
    )


def jobs_discovered(data: JobsDiscovered) -> Discovered:
    """``jobs_discovered``: the areas that it tells of, and the jobs that they become."""
    summary = data.discovery_summary
    return Discovered(data.discovered_jobs, {"discoverySummary": summary} if summary is not None else {})


def discovery(data: Discovery) -> Discovered:
    """``discovery``: areas, where the entity type is one of an area."""
    return Discovered(data.entities if data.entity_type in ("group", "project") else ())


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _encoded(value: dict[str, Any] | None) -> Encoded | None:
    # A copy, since what orjson returns holds 8 KiB, however short it is.
    return None if value is None else bytes(memoryview(orjson.dumps(value)))


def _listed(value: tuple[str, ...] | None) -> list[str] | None:
    return None if value is None else list(value)
