"""The jobs that a crawler is running: one handler each, from job_started to its last report."""

import traceback
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Protocol

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.client.job import Job, Reporter
from copilot_socket.client.messages import milliseconds, present
from copilot_socket.client.problems import JobFailure, JobGone, JobRelease, Reason, ReportRefused
from copilot_socket.client.rate_limits import RateLimits

Handler = Callable[[Job], Coroutine["Deferred[Any]", Any, Mapping[str, float] | None]]
"""Crawls one job and returns its final counts."""


class Sender(Reporter, Protocol):
    """A reporter that knows its server."""

    @property
    def features(self) -> frozenset[str]:
        """What the server understands beyond the first edition of the protocol."""

    def tell(self, job: Job, kind: str, data: Mapping[str, Any]) -> None:
        """Send now or never; no answer is waited for."""


@attrs.define(eq=False)
class Run:
    """A running handler. ``ours`` is False once the job is another's; ``over`` is True once the handler has ended.

    ``releasing``: why the handler was cancelled, if its job is to be given back.
    """

    job: Job
    rate_limits: RateLimits
    ours: bool = True
    over: bool = False
    releasing: Reason | None = None
    running: "Deferred[None] | None" = None


class Runs:
    """All runs of one crawler; *over* is called after each."""

    log = Logger()

    def __init__(self, handler: Handler, sender: Sender, over: Callable[[], None], clock: IReactorTime) -> None:
        self._handler = handler
        self._sender = sender
        self._over = over
        self._clock = clock
        self._runs: dict[str, Run] = {}
        self._processed = 0

    @property
    def active(self) -> int:
        """How many handlers are running."""
        return sum(not run.over for run in self._runs.values())

    @property
    def processed(self) -> int:
        """Entities processed so far, by jobs that are over and jobs that run."""
        return self._processed + sum(run.job.processed for run in self._runs.values())

    @property
    def status(self) -> str:
        """The heartbeat's ``systemStatus``."""
        types = [run.job.entity_type for run in self._runs.values() if not run.over]
        if not types:
            return "idle"
        return "discovering" if "areas" in types else "crawling"

    def ids(self) -> set[str]:
        """The assignments that run, or whose last report is not answered yet."""
        return set(self._runs)

    def holds(self, job: Job) -> bool:
        """Whether *job* may still be reported on."""
        run = self._runs.get(job.id)
        return run is not None and run.job is job and run.ours

    @property
    def can_release(self) -> bool:
        """Whether jobs can be given back."""
        return "job_released" in self._sender.features

    def start(self, job: Job) -> None:
        """Run *job* unless it runs already: the server repeats jobs after a lost connection."""
        if job.id in self._runs:
            return
        run = self._keep(job)
        run.running = Deferred.fromCoroutine(self._run(run))
        run.running.addErrback(lambda failure: self.log.failure("A run failed unexpectedly", failure))

    def end(self, job_id: str) -> None:
        """The job is no longer assigned to this crawler: cancel its handler, report nothing."""
        run = self._runs.get(job_id)
        if run is not None:
            run.ours = False
            run.rate_limits.close(flush=False)
            if run.over:
                self._forget(run)
            elif run.running is not None:
                run.running.cancel()

    def end_all(self) -> None:
        """End every run."""
        for job_id in list(self._runs):
            self.end(job_id)

    def release(self, job_id: str, reason: Reason) -> None:
        """Cancel the job's handler and give the job back, unless it has ended by then."""
        run = self._runs.get(job_id)
        if run is None or run.over or run.releasing is not None or not self.can_release:
            return
        run.releasing = reason
        if run.running is not None:
            run.running.cancel()

    def release_all(self, reason: Reason) -> None:
        """Give back every job that runs."""
        for job_id in list(self._runs):
            self.release(job_id, reason)

    def decline(self, job: Job, reason: Reason) -> None:
        """Give *job* back without having started it."""
        if job.id not in self._runs:
            run = self._keep(job)
            run.over = True
            self._report_end(run, *self._released(job, JobRelease(reason)))

    def rate_limit(self, job: Job, data: Mapping[str, Any]) -> None:
        """Send the state of a rate limit, if the job still runs."""
        run = self._runs.get(job.id)
        if run is not None and run.job is job and run.ours and not run.over:
            run.rate_limits.say(data)

    def _keep(self, job: Job) -> Run:
        limits = RateLimits(self._clock, partial(self._sender.tell, job, "rate_limit"))
        run = self._runs[job.id] = Run(job, limits)
        return run

    async def _run(self, run: Run) -> None:
        job = run.job
        self._report(job, "job_started", present(entityType=job.entity_type, entityId=job.entity_id))
        kind, data = await self._outcome(run)
        run.over = True
        run.rate_limits.close(flush=run.ours)
        if run.ours:
            # Not awaited: there is room for the next job now.
            self._report_end(run, kind, data)
        else:
            self._forget(run)
        self._over()

    def _report_end(self, run: Run, kind: str, data: Mapping[str, Any]) -> None:
        self._report(run.job, kind, data).addCallback(self._on_answer, run, kind)

    def _on_answer(self, problem: ReportRefused | None, run: Run, kind: str) -> None:
        """The last report was answered. A job whose completion or release was refused is reported as failed.

        (A release is refused by an older node, to which the crawler has reconnected in the meantime.)
        """
        if problem is not None and kind != "job_failed" and run.ours:
            data = {"error": f"{kind} was refused: {problem}"[:500], "isRecoverable": True}
            self._report(run.job, "job_failed", data)
        self._forget(run)

    async def _outcome(self, run: Run) -> tuple[str, dict[str, Any]]:
        """Run the handler; the type and data of the last report."""
        try:
            counts = await self._handler(run.job)
        except JobGone:
            run.ours = False
            return "", {}
        except JobRelease as release:
            return self._released(run.job, release)
        except Exception as error:
            if run.ours and run.releasing is None:
                return "job_failed", self._failed(run.job, error)
            # The cancellation has caused it, whatever it is: HTTP clients, for instance, raise errors of their own.
            self.log.debug("The handler of {job} has stopped: {error!r}", job=run.job.id, error=error)
            if run.releasing is None:
                return "", {}
            cursor = error.resume_state if isinstance(error, JobFailure) else None
            return self._released(run.job, JobRelease(run.releasing, resume_state=cursor))
        return "job_completed", {"success": True, "finalCounts": dict(counts or {})}

    def _released(self, job: Job, release: JobRelease) -> tuple[str, dict[str, Any]]:
        """The report of a release; of a failure, if the server knows no releases."""
        cursor = job.reported_state if release.resume_state is None else release.resume_state
        if not self.can_release:
            return "job_failed", self._failed(job, JobFailure(str(release), resume_state=cursor))
        data = present(
            reason=release.reason,
            resumeState=cursor,
            retryAfter=milliseconds(release.retry_after),
            message=release.message,
        )
        return "job_released", data

    def _failed(self, job: Job, error: Exception) -> dict[str, Any]:
        """The ``data`` of the failure that *error* means."""
        if isinstance(error, JobFailure):
            failure = error
        elif isinstance(error, CancelledError):
            failure = JobFailure("the crawler cancelled it")
        else:
            self.log.failure("The handler of {job} failed", Failure(error), job=job.id)
            failure = JobFailure(str(error) or type(error).__name__)
        return present(
            error=str(failure),
            errorType=type(error).__name__,
            isRecoverable=failure.recoverable,
            cause=failure.cause if "cause" in self._sender.features else None,
            resumeState=failure.resume_state,
            partialCounts=failure.partial_counts,
            stackTrace=None if error is failure else "".join(traceback.format_exception(error))[-8000:],
        )

    def _report(self, job: Job, kind: str, data: Mapping[str, Any]) -> "Deferred[ReportRefused | None]":
        """Report; fires with None or the server's refusal, and never fails with one."""

        def refused(failure: Failure) -> ReportRefused:
            if not isinstance(failure.value, ReportRefused):
                failure.raiseException()
            return failure.value

        return self._sender.report(job, kind, data).addCallbacks(lambda _: None, refused)

    def _forget(self, run: Run) -> None:
        if self._runs.pop(run.job.id, None) is not None:
            self._processed += run.job.processed
