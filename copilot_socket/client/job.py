"""A job as the crawler's code sees it: what to crawl, and methods to report on it. Shared by all shells."""

from collections.abc import Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

import attrs

from copilot_socket.client.messages import milliseconds, present, time_of_day
from copilot_socket.client.problems import Cause, JobFailure, JobGone, JobRelease, Reason

CHUNK = 200
"""Discovered jobs per message, which keeps messages far below the server's size limit."""

Done_co = TypeVar("Done_co", covariant=True)
"""What a shell returns for a report: ``None`` once it is stored, or something to await."""
Token_co = TypeVar("Token_co", covariant=True)
"""The same for a new token."""


class Reporter(Protocol[Done_co, Token_co]):
    """A shell, as its jobs see it."""

    def report(self, job: Any, kind: str, parts: list[dict[str, Any]]) -> Done_co:
        """Report each of *parts* in a message of type *kind*."""

    def refresh_token(self, job: Any, data: dict[str, Any]) -> Token_co:
        """Request a new token, and set it."""

    def rate_limit(self, job: Any, data: dict[str, Any]) -> None:
        """Report the state of a limit."""

    def complete(self, job: Any, counts: Mapping[str, float] | None) -> Done_co:
        """Report that the job is done."""

    def fail(self, job: Any, failure: JobFailure) -> Done_co:
        """Report that the job has failed."""

    def release(self, job: Any, release: JobRelease) -> Done_co:
        """Give the job back."""


@attrs.frozen
class DiscoveredJob:
    """A job to be created. *job_type* is ``crawl_group``, ``crawl_project``, ``crawl_user``, …"""

    job_type: str
    entity_id: str
    namespace_path: str
    entity_name: str
    priority: int | None = None
    estimated_size: Mapping[str, float] | None = None

    def data(self) -> dict[str, Any]:
        """The element of ``discovered_jobs`` on the wire."""
        return present(**attrs.asdict(self, recurse=False))


@attrs.define(eq=False)
class BaseJob(Generic[Done_co, Token_co]):
    """One attempt of a job. ``attempt`` counts from 1.

    Its methods raise :class:`JobGone` once the job is no longer this crawler's, and :class:`ReportRefused` if the
    server refuses a report.
    """

    _reporter: Reporter[Done_co, Token_co] = attrs.field(repr=False)
    id: str
    entity_type: str
    entity_id: str
    gitlab_url: str
    access_token: str = attrs.field(repr=False)
    resume_state: Mapping[str, Any] | None = None
    command: str | None = None
    full_path: str | None = None
    area_type: str | None = None
    branch: str | None = None
    attempt: int = 1
    stopping: Reason | None = attrs.field(default=None, init=False)
    """Why work on it is to end soon, and the job to be given back: ``paused`` or ``shutdown``."""
    gone: JobGone | None = attrs.field(default=None, init=False, repr=False)
    """Set when the job is no longer this crawler's."""
    over: bool = attrs.field(default=False, init=False)
    """Whether its end is reported."""

    @classmethod
    def read(cls, fields: Mapping[str, Any], reporter: Reporter[Any, Any]) -> Any:
        """The job in an element of a ``job_response``."""
        return cls(
            reporter,
            id=fields["id"],
            entity_type=fields["entityType"],
            entity_id=fields["entityId"],
            gitlab_url=fields["gitlabUrl"],
            access_token=fields["accessToken"],
            resume_state=fields.get("resumeState"),
            command=fields.get("command"),
            full_path=fields.get("fullPath"),
            area_type=fields.get("areaType"),
            branch=fields.get("branch"),
            attempt=fields.get("try") or 1,
        )

    @property
    def next_page(self) -> int:
        """The page after the last one that an earlier attempt reported, or 1."""
        page = (self.resume_state or {}).get("currentPage")
        return page + 1 if isinstance(page, int) else 1

    @property
    def cancelled(self) -> bool:
        """Whether the job is no longer this crawler's: stop, and report nothing."""
        return self.gone is not None

    @property
    def paused(self) -> bool:
        """Whether the job is to be given back because it is paused."""
        return self.stopping == "paused"

    def interrupt(self) -> None:
        """``stopping`` or ``gone`` was set. A shell that can interrupts the crawler's code."""

    def check(self) -> None:
        """Raise :class:`JobGone` if the job is cancelled, :class:`JobRelease` if it is to be given back.

        To be called now and then by code that neither reports nor awaits; let both propagate.
        """
        if self.gone is not None:
            raise self.gone
        if self.stopping is not None and not self.over:
            raise JobRelease(self.stopping)

    def progress(
        self,
        processed: int,
        *,
        total: int | None = None,
        stage: str = "fetching",
        resume_state: Mapping[str, Any] | None = None,
        item_counts: Mapping[str, float] | None = None,
        message: str | None = None,
    ) -> Done_co:
        """Report how far the job is; a later attempt starts from the last *resume_state*."""
        data = present(
            stage=stage,
            entityType=self.entity_type,
            processed=processed,
            total=total,
            message=message,
            resumeState=resume_state,
            itemCounts=item_counts,
            currentPage=(resume_state or {}).get("currentPage"),
        )
        return self._reporter.report(self, "job_progress", [data])

    def discover(self, jobs: Iterable[DiscoveredJob], summary: Mapping[str, int] | None = None) -> Done_co:
        """Report discovered jobs, in messages of :data:`CHUNK` jobs; *summary* goes with the last."""
        found = [job.data() for job in jobs]
        parts = [{"discovered_jobs": found[start : start + CHUNK]} for start in range(0, len(found) or 1, CHUNK)]
        parts[-1].update(present(discovery_summary=summary))
        return self._reporter.report(self, "jobs_discovered", parts)

    def areas(self, entity_type: str, entities: Iterable[Mapping[str, Any]]) -> Done_co:
        """Record areas of *entity_type* ``group`` or ``project``: ``id``, ``name``, ``path``, ``parentId``?."""
        return self._reporter.report(self, "discovery", [{"entityType": entity_type, "entities": list(entities)}])

    def rate_limit(
        self,
        remaining: int,
        limit: int | None = None,
        reset_at: float | None = None,
        name: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Tell the server how many requests GitLab still allows: to be called after each response.

        *reset_at* in seconds since 1970, *retry_after* in seconds, as in GitLab's headers. At most one message a
        second is sent for each *name*, with the latest state.
        """
        data = present(
            remaining=remaining,
            limit=limit,
            resetAt=time_of_day(reset_at),
            name=name,
            retryAfter=milliseconds(retry_after),
        )
        self._reporter.rate_limit(self, data)

    def refresh_token(self, error_details: str | None = None) -> Token_co:
        """Request a new ``access_token`` and set it. Concurrent calls share it. Raises :class:`TokenRefused`."""
        data = present(current_token_expired=True, error_details=error_details)
        return self._reporter.refresh_token(self, data)

    def complete(self, counts: Mapping[str, float] | None = None) -> Done_co:
        """The job is done, with these final *counts* by name."""
        return self._reporter.complete(self, counts)

    def fail(
        self,
        message: str,
        recoverable: bool = True,
        *,
        cause: Cause | None = None,
        resume_state: Mapping[str, Any] | None = None,
        partial_counts: Mapping[str, float] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Done_co:
        """The job has failed: see :class:`JobFailure`."""
        failure = JobFailure(
            message,
            recoverable,
            cause=cause,
            resume_state=resume_state,
            partial_counts=partial_counts,
            context=context,
        )
        return self._reporter.fail(self, failure)

    def release(
        self,
        reason: Reason = "other",
        message: str | None = None,
        *,
        retry_after: float | None = None,
        resume_state: Mapping[str, Any] | None = None,
    ) -> Done_co:
        """Give the job back: see :class:`JobRelease`."""
        release = JobRelease(reason, message, retry_after=retry_after, resume_state=resume_state)
        return self._reporter.release(self, release)
