"""A job as its handler sees it."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred

from copilot_socket.client.messages import milliseconds, present
from copilot_socket.client.outbox import TOKEN_REQUEST
from copilot_socket.client.problems import TokenRefused

CHUNK = 200
"""Discovered jobs per message, which keeps messages far below the server's size limit."""


class Reporter(Protocol):
    """Sends a job's messages to the server."""

    def report(self, job: "Job", kind: str, data: Mapping[str, Any]) -> "Deferred[Mapping[str, Any]]":
        """Send; fires with the answer's data once the server has committed it, or fails with ``ReportRefused``."""

    def rate_limit(self, job: "Job", data: Mapping[str, Any]) -> None:
        """Send the state of a rate limit if the server understands it. There is no answer."""


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
class Job:
    """One attempt of a job: what to crawl, and methods to report on it. ``attempt`` counts from 1."""

    id: str
    entity_type: str
    entity_id: str
    gitlab_url: str
    access_token: str = attrs.field(repr=False)
    resume_state: Mapping[str, Any] | None
    command: str | None
    full_path: str | None
    area_type: str | None
    branch: str | None
    attempt: int
    _reporter: Reporter = attrs.field(repr=False)
    processed: int = 0
    reported_state: Mapping[str, Any] | None = attrs.field(default=None, init=False, repr=False)
    """The last cursor that this attempt has reported."""
    _refreshing: "list[Deferred[str]]" = attrs.field(factory=list, init=False, repr=False)

    @classmethod
    def read(cls, data: Mapping[str, Any], reporter: Reporter) -> "Job":
        """The job in an element of a ``job_response``. Raises ``KeyError`` if a field is missing."""
        return cls(
            id=data["id"],
            entity_type=data["entityType"],
            entity_id=data["entityId"],
            gitlab_url=data["gitlabUrl"],
            access_token=data["accessToken"],
            resume_state=data.get("resumeState"),
            command=data.get("command"),
            full_path=data.get("fullPath"),
            area_type=data.get("areaType"),
            branch=data.get("branch"),
            attempt=data.get("try") or 1,
            reporter=reporter,
        )

    @property
    def next_page(self) -> int:
        """The page after the last one that an earlier attempt reported, or 1."""
        page = (self.resume_state or {}).get("currentPage")
        return page + 1 if isinstance(page, int) else 1

    def progress(
        self,
        processed: int,
        *,
        total: int | None = None,
        stage: str = "fetching",
        resume_state: Mapping[str, Any] | None = None,
        item_counts: Mapping[str, float] | None = None,
        message: str | None = None,
    ) -> "Deferred[Mapping[str, Any]]":
        """Report how far the job is; a later attempt starts from the last *resume_state*."""
        self.processed = processed
        if resume_state is not None:
            # A copy: the handler may change its cursor in place before it has crawled the page.
            self.reported_state = deepcopy(resume_state)
        page = (resume_state or {}).get("currentPage")
        data = present(
            stage=stage,
            entityType=self.entity_type,
            processed=processed,
            total=total,
            message=message,
            resumeState=resume_state,
            itemCounts=item_counts,
            currentPage=page,
        )
        return self._reporter.report(self, "job_progress", data)

    async def discovered(self, jobs: Iterable[DiscoveredJob], summary: Mapping[str, int] | None = None) -> None:
        """Report discovered jobs, in messages of :data:`CHUNK` jobs; *summary* goes with the last."""
        elements = [job.data() for job in jobs]
        starts = range(0, len(elements) or 1, CHUNK)
        for start in starts:
            last = start == starts[-1]
            data = present(
                discovered_jobs=elements[start : start + CHUNK], discovery_summary=summary if last else None
            )
            await self._reporter.report(self, "jobs_discovered", data)

    def areas(self, entity_type: str, entities: Iterable[Mapping[str, Any]]) -> "Deferred[Mapping[str, Any]]":
        """Record areas of *entity_type* ``group`` or ``project``: ``id``, ``name``, ``path``, ``parentId``?."""
        return self._reporter.report(self, "discovery", {"entityType": entity_type, "entities": list(entities)})

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
            resetAt=_time_of_day(reset_at),
            name=name,
            retryAfter=milliseconds(retry_after),
        )
        self._reporter.rate_limit(self, data)

    def refresh_token(self, error_details: str | None = None) -> "Deferred[str]":
        """Request a new ``access_token`` and set it. Concurrent calls share it. Fails with :class:`TokenRefused`."""
        waiter: Deferred[str] = Deferred()
        self._refreshing.append(waiter)
        if len(self._refreshing) == 1:
            answered = self._reporter.report(
                self, TOKEN_REQUEST, present(current_token_expired=True, error_details=error_details)
            )
            answered.addCallback(self._take_token).addBoth(self._resolve_waiters)
        return waiter

    def _take_token(self, data: Mapping[str, Any]) -> str:
        token = data.get("accessToken")
        if not data.get("refreshSuccessful") or not isinstance(token, str) or not token:
            raise TokenRefused("no new token for this job's account", cause="credential")
        self.access_token = token
        return token

    def _resolve_waiters(self, result: Any) -> None:
        waiters, self._refreshing = self._refreshing, []
        for waiter in waiters:
            if not waiter.called:
                waiter.callback(result)  # a Failure becomes an errback


def _time_of_day(seconds: float | None) -> str | None:
    """Seconds since 1970 in ISO 8601; None for what is no time, which a proxy's header may contain."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None
