"""The jobs of the server for tests, and who gets them. Pure."""

import secrets
from collections.abc import Iterable
from typing import Any

from copilot_socket.core.jobs import Event, Loss, Status
from copilot_socket.core.replies import JobCancel, JobPause, JobResponse, Reply, Shutdown
from copilot_socket.core.retry import RetryPolicy
from copilot_socket.core.trouble import End
from copilot_socket.testing.crawlers import Crawler
from copilot_socket.testing.job import Job
from copilot_socket.testing.tokens import Tokens

SOON = 10.0
"""Seconds for which it is worth waiting that a job falls due."""


class Queue:
    """The jobs and the crawlers. Times are in seconds, of any clock.

    *grace*: how long a crawler may be away and keep its jobs; *retry_delay*: how long a failed job waits at first.
    """

    def __init__(self, gitlab_url: str, tokens: Tokens, grace: float, retry_delay: float) -> None:
        self.gitlab_url = gitlab_url
        self.tokens = tokens
        self.jobs: list[Job] = []
        self.crawlers: dict[str, Crawler] = {}
        self.attempts: dict[str, tuple[Job, int]] = {}
        """Assignment → its job, and the number of the attempt."""
        self.exit_when_done = False
        self.now = 0.0
        self._grace = grace
        self._policy = RetryPolicy(base=retry_delay)
        self._due: dict[Job, float] = {}

    @property
    def deadline(self) -> float | None:
        """When :meth:`tick` is to be called."""
        graces = [each.gone_at + self._grace for each in self.crawlers.values() if each.gone_at is not None]
        return min([*graces, *self._due.values()], default=None)

    def tick(self, now: float) -> None:
        """Release the jobs of crawlers that are away for too long, and send jobs that are due."""
        self.now = now
        for crawler in list(self.crawlers.values()):
            if crawler.gone_at is not None and now >= crawler.gone_at + self._grace:
                del self.crawlers[crawler.name]
                self.release(crawler.held, Loss.GONE)
        self._due = {job: at for job, at in self._due.items() if at > now}
        self._dispatch()

    def add(self, job: Job) -> Job:
        """Queue a job."""
        self.jobs.append(job)
        self._dispatch()
        return job

    def _dispatch(self) -> None:
        """Send jobs to the crawlers that wait for some."""
        for crawler in self.crawlers.values():
            if crawler.asked is not None and (given := self.claim(crawler)):
                crawler.asked.push(JobResponse(given))
        self.exit_if_done()

    def claim(self, crawler: Crawler) -> tuple[Any, ...]:
        room = min(crawler.wanted, crawler.max_jobs - len(crawler.held))
        fit = [
            job
            for job in self.jobs
            if job.status is Status.QUEUED and job.entity_type in crawler.entity_types and job not in self._due
        ]
        given = fit[: max(0, room)]
        for job in given:
            job.apply(Event.CLAIMED, self.now, self._policy)
            job.tries += 1
            job.assignment = f"{job.id}.{job.tries}.{secrets.token_hex(6)}"
            job.reported, job.token = False, self.tokens.current
            self.attempts[job.assignment] = job, job.tries
            crawler.held.append(job)
        if given:
            crawler.wanted = 0
        return tuple(job.sent(self.gitlab_url) for job in given)

    def exit_if_done(self) -> None:
        """With ``exit_when_done``: once no job is left that is due soon, ask all crawlers to exit."""
        soon = self.now + SOON
        left = any(
            job.held or (job.status is Status.QUEUED and self._due.get(job, self.now) <= soon) for job in self.jobs
        )
        if self.exit_when_done and not left:
            for crawler in self.crawlers.values():
                for link in crawler.links:
                    if not link.leaving:
                        link.leaving = True
                        link.push(Shutdown("crawler", True, 10.0, "there are no more jobs"))

    def apply(self, job: Job, event: Event, end: End | None = None) -> bool:
        allowed = job.apply(event, self.now, self._policy, end)
        if not job.held:
            for crawler in self.crawlers.values():
                if job in crawler.held:
                    crawler.held.remove(job)
            if job.delay > 0 and job.status is Status.QUEUED:
                self._due[job] = self.now + job.delay
        return allowed

    def release(self, jobs: Iterable[Job], why: Loss) -> None:
        for job in list(jobs):
            self.apply(job, Event.RELEASED, End(why.cause))

    # -- what people do

    def cancel(self, job: Job) -> None:
        """Cancel *job*: its crawler is told."""
        self._fence(job, Event.CANCELLED, "cancelled")

    def pause(self, job: Job) -> None:
        """Pause *job*: its crawler is asked for it."""
        holder = self._holder(job)
        if job.held and holder is not None and holder.commands:
            job.pausing = True
            self._push(holder, JobPause(job.assignment or ""))
        else:
            self._fence(job, Event.PAUSED, "paused")

    def resume(self, job: Job) -> None:
        """Resume *job*."""
        job.pausing = False
        self.apply(job, Event.RESUMED)
        self._dispatch()

    def _fence(self, job: Job, event: Event, reason: str) -> None:
        holder, assignment = self._holder(job), job.assignment
        if not self.apply(job, event):
            raise AssertionError(f"a job that is {job.status} can't be {reason}")
        if holder is not None and assignment is not None:
            self._push(holder, JobCancel(assignment, reason))

    def _holder(self, job: Job) -> Crawler | None:
        return next((each for each in self.crawlers.values() if job in each.held), None)

    @staticmethod
    def _push(crawler: Crawler, command: Reply) -> None:
        for link in crawler.links[-1:]:
            if "commands" in link.capabilities:
                link.push(command)
