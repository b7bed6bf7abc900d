"""Jobs as HTTP shows them, with their attempts and errors."""

from typing import Annotated, Any, Literal

import attrs
from msgspec import UNSET, UnsetType

from copilot_socket.core.describing import Time, doc
from copilot_socket.core.ends import Cause
from copilot_socket.core.jobs import Outcome, Status
from copilot_socket.store.columns import BESIDE, Column

Provider = Literal["gitlab-onprem", "gitlab-cloud"]
_TRUNCATED = doc("The fields that are null, or shortened, since they are too large to be shown.")
Truncated = Annotated[list[str], BESIDE, _TRUNCATED]
_WHY_IT_ENDED = "Why its last attempt ended; null before the first end."


@attrs.frozen(kw_only=True)
class Job:
    """A job, as it is listed. `resume_state` and `progress` are there on request only, and then `truncated`, too."""

    id: Annotated[str, doc("A ULID.")]
    created_at: Annotated[Time, doc("When it was submitted.")]
    updated_at: Annotated[Time, doc("When it last changed.")]
    started_at: Annotated[Time | None, doc("When its last attempt started.")]
    finished_at: Annotated[Time | None, doc("When it was completed, failed or was cancelled.")]
    scheduled_at: Annotated[Time, doc("When it is due, or was.")]
    status: Annotated[Status, doc("Its state.")]
    command: Annotated[str, doc("What to crawl.")]
    full_path: Annotated[str | None, doc("The group or project.")]
    branch: Annotated[str | None, doc("The branch, where the command is about one.")]
    account_id: Annotated[str, doc("The account whose token is used.")]
    user_id: Annotated[str | None, doc("The user of the web application for whom it is.")]
    provider: Annotated[Provider, doc("The kind of its GitLab.")]
    gitlab_url: Annotated[str, doc("The address of its GitLab.")]
    spawned_from: Annotated[str | None, doc("The job that has discovered it.")]
    priority: Annotated[int, doc("Higher first.")]
    attempts: Annotated[int, doc("The same as `failures`: the column of the database.")]
    max_attempts: Annotated[int, doc("Failures and time-outs after which it fails for good.")]
    releases: Annotated[int, doc("How often a crawler has lost it.")]
    tries: Annotated[int, doc("Its assignments, lost attempts included.")]
    failures: Annotated[
        int,
        Column('"attempts"'),
        doc("Failures and time-outs that count against `max_attempts`; from 0 after a retry."),
    ]
    cause: Annotated[
        Cause | None,
        Column("CASE WHEN status = 'completed' THEN 'completed' ELSE cause::text END"),
        doc(_WHY_IT_ENDED),
    ]
    error: Annotated[str | None, doc("The fingerprint of its last failure; null once it is completed or retried.")]
    cancelled_with: Annotated[
        str | None, doc("The bulk operation that has cancelled it; null if it was cancelled alone, or is not.")
    ]
    resume_state: Annotated[dict[str, Any] | UnsetType | None, doc("Where the next attempt begins.")] = UNSET
    progress: Annotated[dict[str, Any] | UnsetType | None, doc("What crawlers have reported, merged.")] = UNSET
    children: Annotated[int | UnsetType, BESIDE, doc("On request: the jobs that it has spawned, up to 10,001.")] = (
        UNSET
    )
    truncated: Annotated[list[str] | UnsetType, BESIDE, _TRUNCATED] = UNSET


@attrs.frozen(kw_only=True)
class Assignment:
    """The current or last attempt of a job."""

    web_app_job_id: Annotated[str, doc("The job.")]
    crawler_job_id: Annotated[str, doc("Its id for the crawler: `<job id>.<try>.<random>`.")]
    account_id: Annotated[str, doc("The account whose token is used.")]
    user_id: Annotated[str | None, doc("The user of the web application for whom it is.")]
    created_at: Annotated[Time, doc("When the job was first assigned.")]
    assigned_at: Annotated[Time, doc("When this attempt was assigned.")]
    completed_at: Annotated[Time | None, doc("When it ended.")]
    status: Annotated[
        Literal["pending", "assigned", "running", "completed", "failed", "cancelled"],
        doc("`pending` between a released attempt and the next one."),
    ]
    metadata: Annotated[dict[str, Any] | None, doc("What the server notes of it: a discovery that was refused.")]
    try_: Annotated[int, doc("Its number, from 1.")]
    crawler_key: Annotated[str | None, doc("The crawler that holds it, or did: `key` of a crawler.")]
    started_at: Annotated[Time | None, doc("When the crawler started.")]
    reported_at: Annotated[Time | None, doc("When the crawler last reported.")]
    truncated: Truncated


@attrs.frozen(kw_only=True)
class Attempt:
    """An attempt of a job that has ended."""

    job_id: Annotated[str, doc("The job.")]
    try_: Annotated[int, doc("Its number, from 1.")]
    crawler_job_id: Annotated[str, doc("Its id for the crawler: `<job id>.<try>.<random>`.")]
    crawler_key: Annotated[str | None, doc("The crawler that held it: `key` of a crawler.")]
    assigned_at: Annotated[Time, doc("When it was assigned.")]
    started_at: Annotated[Time | None, doc("When the crawler started.")]
    ended_at: Annotated[Time, doc("When it ended.")]
    outcome: Annotated[Outcome, doc("How it ended.")]
    reason: Annotated[str | None, doc("Why, in words.")]
    cause: Annotated[Cause | None, doc("Why; null for attempts of former versions.")]


@attrs.frozen(kw_only=True)
class JobError:
    """An error of a job."""

    id: Annotated[int, doc("Its number; later ones are higher.")]
    job_id: Annotated[str, doc("The job.")]
    timestamp: Annotated[Time, doc("When it was reported.")]
    error_type: Annotated[str | None, doc("The crawler's name for its kind.")]
    error_message: Annotated[str, doc("What went wrong.")]
    stack_trace: Annotated[str | None, doc("Where, in the crawler's code.")]
    context: Annotated[dict[str, Any] | None, doc("What else the crawler says.")]
    retry_count: Annotated[int, doc("`failures` of the job before it.")]
    is_recoverable: Annotated[bool, doc("Whether another attempt may help.")]
    resolution: Annotated[str | None, doc("What follows from it.")]
    cause: Annotated[Cause | None, doc("Why the attempt ended; null for errors that ended none.")]
    fingerprint: Annotated[str | None, doc("Its group; null for errors of former versions.")]
    truncated: Truncated


@attrs.frozen(kw_only=True)
class JobDetail(Job):
    """A job with its attempts and errors."""

    resume_state: Annotated[dict[str, Any] | None, doc("Where the next attempt begins.")]
    progress: Annotated[dict[str, Any] | None, doc("What crawlers have reported, merged.")]
    truncated: Truncated
    assignment: Annotated[Assignment | None, BESIDE, doc("The current or last attempt; null before the first.")]
    history: Annotated[list[Attempt], BESIDE, doc("The latest 100 ended attempts, in their order.")]
    history_total: Annotated[int, BESIDE, doc("The number of all ended attempts.")]
    errors: Annotated[list[JobError], BESIDE, doc("The latest 100 errors, in their order, together up to 1 MiB.")]
    errors_total: Annotated[int, BESIDE, doc("The number of all errors.")]
