"""What a transition is made of: the request, the locked rows, and what the database adds to the end of an attempt."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from copilot_socket.core.ends import Cause
from copilot_socket.core.fingerprints import ErrorGroup, group_of
from copilot_socket.core.jobs import Event, Loss, Status
from copilot_socket.core.reports import Failed, GivenBack
from copilot_socket.core.transitions import Job, Transition
from copilot_socket.core.trouble import MOST_LOST, End, Trouble
from copilot_socket.event_bus import JobChanged, RateLimited
from copilot_socket.store.connection import Transaction
from copilot_socket.store.sql import sql


@attrs.frozen
class TransitionRequest:
    """An event to apply to one job; with ``assignment``, only while that attempt is the live one."""

    job_id: str
    event: Event
    assignment: str | None = None
    reason: str | None = None
    report: Failed | GivenBack | None = None
    """What its crawler reported, where that is the event."""
    delay: float = 0.0
    """Least number of seconds before the job is due, where it is queued again."""
    operation: str | None = None
    """The bulk operation that asks for it."""

    @property
    def why(self) -> str | None:
        """Why the attempt ended: the given reason, else the error that its crawler has reported, shortened."""
        if self.reason is not None:
            return self.reason
        match self.report:
            case Failed() as failed:
                return failed.error[:1000]
            case GivenBack() as given:
                return given.message and given.message[:1000]
        return None


def _trouble(stored: dict[str, Any] | None) -> Trouble:
    return Trouble.from_json(stored)


@attrs.frozen
class LockedJob:
    """A row of ``lock_jobs``. Times in seconds since the epoch."""

    id: str
    status: str
    attempts: int
    max_attempts: int
    releases: int
    credential_valid: bool
    credential_error: str | None
    trouble: Trouble = attrs.field(converter=_trouble)
    cursor: str
    host_success: float | None
    now: float
    origin: str
    host_held: bool
    account: str
    command: str
    full_path: str | None
    branch: str | None
    error: str | None
    user: str | None

    def job(self, held: "LiveAssignment | None") -> Job:
        """The job, as the state machine sees it."""
        return Job(
            Status(self.status),
            self.attempts,
            self.max_attempts,
            self.releases,
            held is not None and held.credential_refused,
            self.credential_valid,
            held is not None and held.pausing,
            self.trouble,
            self.now,
        )


@attrs.frozen
class LiveAssignment:
    """A row of ``live_assignments``."""

    job_id: str
    assignment: str
    crawler: str | None
    credential_refused: bool
    token_generation: int | None
    assigned_at: float
    reported: bool
    pausing: bool


@attrs.frozen
class Logged:
    """A failure that is logged, as its crawler reported it or as the server words it, and its group."""

    failure: Failed
    group: ErrorGroup


_LOGGED = frozenset({Event.FAILED, Event.FAILED_FOR_GOOD, Event.TIMED_OUT})


@attrs.frozen
class Change:
    """A transition to write."""

    request: TransitionRequest
    row: LockedJob
    held: LiveAssignment | None
    answer: Transition
    logged: Logged | None = attrs.field(init=False)
    """What the error log gets; None: nothing."""

    @logged.default
    def _logged(self) -> Logged | None:
        request = self.request
        if request.event not in _LOGGED and self.answer.status is not Status.FAILED:
            return None
        failure = self.failure or Failed(request.why or str(request.event), str(request.event), True)
        return Logged(failure, group_of(failure.error_type, self.row.command, failure.error))

    @property
    def error(self) -> str | None:
        """The fingerprint of the job's last failure; a retry by hand begins without one."""
        if self.logged is not None:
            return self.logged.group.fingerprint
        return None if self.request.event is Event.RETRIED else self.row.error

    @property
    def failure(self) -> Failed | None:
        """What its crawler reported, if that was a failure."""
        return self.request.report if isinstance(self.request.report, Failed) else None

    def rate_limited(self) -> RateLimited | None:
        """What its crawler reported of a limit of GitLab's."""
        whose = self.row.origin, self.row.account
        match self.request.report:
            case Failed(blocked=True) as failed:
                return RateLimited(*whose, failed.retry_after, blocked=True)
            case Failed(cause=Cause.RATE_LIMITED) | GivenBack(cause=Cause.RATE_LIMITED) as report:
                return RateLimited(*whose, report.retry_after)
        return None

    def event(self) -> JobChanged:
        """The state event to publish after the commit."""
        held, answer, failure = self.held, self.answer, self.failure
        return JobChanged(
            self.row.id,
            answer.status,
            self.request.event,
            None if held is None else held.assignment,
            None if held is None else held.crawler,
            self.request.reason or answer.resolution,
            answer.outcome,
            self.row.account,
            self.row.command,
            self.row.full_path,
            None if failure is None else failure.error,
            answer.delay,
            answer.cause,
            None if self.logged is None else self.logged.group.fingerprint,
            None if held is None or answer.outcome is None else self.row.now - held.assigned_at,
            self.row.user,
            answer.attempts,
        )


async def disturbances_of(
    tx: Transaction,
    requests: Sequence[TransitionRequest],
    rows: Mapping[str, LockedJob],
    live: Mapping[str, LiveAssignment],
) -> tuple[tuple[str, float], ...]:
    """Store which crawlers are lost now, and return what may explain such losses, where a job may be to blame."""
    gone = [request for request in requests if request.event is Event.RELEASED and request.reason == Loss.GONE]
    crawlers = {
        held.crawler
        for request in gone
        if (held := live.get(request.job_id)) is not None and held.assignment == request.assignment
    }
    if not crawlers:
        return ()
    await tx.query(sql("crawlers_lost"), {"crawler": sorted(filter(None, crawlers))})
    jobs = [rows[request.job_id] for request in gone if request.job_id in rows]
    suspected = any(len(job.trouble.lost) >= MOST_LOST - 1 for job in jobs)
    return tuple(await tx.query(sql("disturbances"))) if suspected else ()


def end_of(
    request: TransitionRequest,
    row: LockedJob,
    held: LiveAssignment | None,
    disturbances: tuple[tuple[str, float], ...],
) -> End | None:
    """What the database adds to the end of an attempt."""
    match request.report:
        case Failed() as failed:
            since = math.inf if held is None else held.assigned_at
            return End(
                failed.cause,
                failed.inferred,
                failed.retry_after,
                others_succeed=row.host_success is not None and row.host_success > since,
                host_held=row.host_held,
                token_generation=None if held is None else held.token_generation,
            )
        case GivenBack() as given:
            return End(given.cause, retry_after=given.retry_after)
    if request.event is not Event.RELEASED or request.reason not in set(Loss):
        return None
    loss = Loss(request.reason)
    if loss is not Loss.GONE or held is None or not held.reported:
        return End(loss.cause)
    return End(loss.cause, crawler=held.crawler, cursor=row.cursor, disturbances=disturbances)
