"""The jobs that a crawler is running: one handler each, from job_started to its last report."""

import traceback
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.client.job import Job, Reporter
from copilot_socket.client.messages import present
from copilot_socket.client.problems import JobFailure, JobGone, ReportRefused

Handler = Callable[[Job], Coroutine["Deferred[Any]", Any, Mapping[str, float] | None]]
"""Crawls one job and returns its final counts."""


@attrs.define(eq=False)
class Run:
    """A running handler. ``ours`` is False once the job is another's; ``over`` is True once the handler has ended."""

    job: Job
    ours: bool = True
    over: bool = False
    running: "Deferred[None] | None" = None


class Runs:
    """All runs of one crawler; *over* is called after each."""

    log = Logger()

    def __init__(self, handler: Handler, reporter: Reporter, over: Callable[[], None]) -> None:
        self._handler = handler
        self._reporter = reporter
        self._over = over
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

    def start(self, job: Job) -> None:
        """Run *job* unless it runs already: the server repeats jobs after a lost connection."""
        if job.id in self._runs:
            return
        run = self._runs[job.id] = Run(job)
        run.running = Deferred.fromCoroutine(self._run(run))
        run.running.addErrback(lambda failure: self.log.failure("A run failed unexpectedly", failure))

    def end(self, job_id: str) -> None:
        """The job is no longer assigned to this crawler: cancel its handler, report nothing."""
        run = self._runs.get(job_id)
        if run is not None:
            run.ours = False
            if run.over:
                self._forget(run)
            elif run.running is not None:
                run.running.cancel()

    def cancel_all(self) -> None:
        """End every run."""
        for job_id in list(self._runs):
            self.end(job_id)

    async def _run(self, run: Run) -> None:
        job = run.job
        self._report(job, "job_started", present(entityType=job.entity_type, entityId=job.entity_id))
        kind, data = await self._outcome(run)
        run.over = True
        if run.ours:
            # Not awaited: there is room for the next job now.
            self._report(job, kind, data).addCallback(self._on_answer, run, kind)
        else:
            self._forget(run)
        self._over()

    def _on_answer(self, problem: ReportRefused | None, run: Run, kind: str) -> None:
        """The last report was answered. A job whose completion was refused is reported as failed."""
        if problem is not None and kind == "job_completed" and run.ours:
            data = {"error": f"the completion was refused: {problem}"[:500], "isRecoverable": True}
            self._report(run.job, "job_failed", data)
        self._forget(run)

    async def _outcome(self, run: Run) -> tuple[str, dict[str, Any]]:
        """Run the handler; the type and data of the last report."""
        try:
            counts = await self._handler(run.job)
        except JobGone:
            run.ours = False
            return "", {}
        except JobFailure as failure:
            return "job_failed", _failed(failure, failure)
        except CancelledError as error:
            return "job_failed", _failed(error, JobFailure("the crawler cancelled it"))
        except Exception as error:
            self.log.failure("The handler of {job} failed", job=run.job.id)
            return "job_failed", _failed(error, JobFailure(str(error) or type(error).__name__))
        return "job_completed", {"success": True, "finalCounts": dict(counts or {})}

    def _report(self, job: Job, kind: str, data: Mapping[str, Any]) -> "Deferred[ReportRefused | None]":
        """Report; fires with None or the server's refusal, and never fails with one."""

        def refused(failure: Failure) -> ReportRefused:
            if not isinstance(failure.value, ReportRefused):
                failure.raiseException()
            return failure.value

        return self._reporter.report(job, kind, data).addCallbacks(lambda _: None, refused)

    def _forget(self, run: Run) -> None:
        if self._runs.pop(run.job.id, None) is not None:
            self._processed += run.job.processed


def _failed(error: BaseException, failure: JobFailure) -> dict[str, Any]:
    return present(
        error=str(failure),
        errorType=type(error).__name__,
        isRecoverable=failure.recoverable,
        resumeState=failure.resume_state,
        partialCounts=failure.partial_counts,
        stackTrace=None if error is failure else "".join(traceback.format_exception(error))[-8000:],
    )
