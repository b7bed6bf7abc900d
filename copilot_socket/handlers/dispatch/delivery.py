"""Delivery: sends claimed jobs with valid tokens, or returns them to the queue."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from copilot_socket.core.jobs import Event
from copilot_socket.core.replies import Job, JobResponse
from copilot_socket.core.reports import job_of
from copilot_socket.core.vault import VaultError, access_token
from copilot_socket.event_bus import EventBus, JobSent
from copilot_socket.handlers.crawlers import Crawler, Held, Registry
from copilot_socket.handlers.dispatch.parking import MOST, Parking
from copilot_socket.handlers.dispatch.requests import PendingRequest, Requests
from copilot_socket.handlers.dispatch.restrictions import Restrictions
from copilot_socket.handlers.retrying import until_done
from copilot_socket.handlers.tokens import Refused, Tokens, Unavailable
from copilot_socket.store.transition_rows import TransitionRequest
from copilot_socket.store.transitions import Transitions, by_assignment
from copilot_socket.store.turns import Claimed

PARK = 0.2
"""Seconds that an account is parked where its token is unavailable for an unknown time."""


class Delivery:
    """Sends jobs in answer to *requests*. Calls *wake* when there may be room again."""

    log = Logger()

    def __init__(
        self,
        tokens: Tokens,
        transitions: Transitions,
        registry: Registry,
        requests: Requests,
        parking: Parking,
        restrictions: Restrictions,
        reactor: IReactorTime,
        bus: EventBus,
        wake: Callable[[], None],
    ) -> None:
        self._tokens = tokens
        self._transitions = transitions
        self._registry = registry
        self._requests = requests
        self._parking = parking
        self._restrictions = restrictions
        self._reactor = reactor
        self._bus = bus
        self._wake = wake
        self._returns: set[Deferred[None]] = set()
        self._stopped = False

    def deliver(self, request: PendingRequest | None, jobs: Sequence[Claimed]) -> bool:
        """Send *jobs*, all of one crawler, whose tokens are valid; send others when their tokens are refreshed.

        Without a *request* all are returned: the crawler has gone, or its request is at another node. Return whether
        jobs were sent.
        """
        if request is None or self._stopped or request.link not in request.crawler.links:
            self.give_back(jobs, Event.RETURNED, "its crawler has gone")
            return False
        ready, tokens, sealed = [], [], []
        for job in self._let_through(request.crawler, jobs):
            if not self._tokens.good(job):
                self._background(self._deliver_later(request, job))
                continue
            try:
                tokens.append(self._tokens.reveal(job.access_token, access_token(job.account, job.gitlab_url)))
                ready.append(job)
            except VaultError as error:
                sealed.append(job)
                why = str(error)
        if sealed:  # one account's token must not block other accounts' jobs
            self.log.error("Jobs can't be sent: {error}", error=why)
            for account in {job.account for job in sealed}:
                self._parking.park(account, MOST)
            self._forget(sealed, request.crawler)
            self.give_back(sealed, Event.PUT_OFF, why)
        if ready:
            self._send(request, ready, tokens)
        return bool(ready)

    def give_back(self, jobs: Sequence[Claimed], event: Event, reason: str) -> None:
        """Return *jobs* to the queue, in the background and until that succeeds."""
        self._background(self._return(jobs, event, reason))

    def pause(self, assignment: str) -> None:
        """Pause the job of *assignment*, which waits to be sent."""
        requests = by_assignment([assignment], Event.PAUSED, "paused before it was sent")
        self._background(self._apply("Pausing a job", requests))

    def _let_through(self, crawler: Crawler, jobs: Sequence[Claimed]) -> Sequence[Claimed]:
        """Those of *jobs* that may still go out; the others are returned."""
        reasons = {job.assignment: why for job in jobs if (why := self._restrictions.holds_back(job)) is not None}
        if not reasons:
            return jobs
        held_back = [job for job in jobs if job.assignment in reasons]
        self._forget(held_back, crawler)
        self._background(self._return_held_back(held_back, list(reasons.values())))
        return [job for job in jobs if job.assignment not in reasons]

    async def stop(self) -> None:
        """Send no more jobs; wait until all that are to be returned are."""
        self._stopped = True
        while self._returns:
            await next(iter(self._returns))

    async def _deliver_later(self, request: PendingRequest, job: Claimed) -> None:
        """Refresh the token and send *job*, which takes up room meanwhile; otherwise return it."""
        crawler = request.crawler
        try:
            with self._parking.during_refresh(job.account):
                token = await self._tokens.fresh(job.account)
            live = await self._tokens.handed(job.assignment)
        except Refused as refusal:
            self._parking.credential(job.account, valid=False)
            self._forget([job], crawler)
            await self._return([job], Event.NO_CREDENTIAL, str(refusal))
        except Exception as problem:  # any: a job that is claimed and not sent must be returned
            why, wait = type(problem).__name__, None
            if isinstance(problem, Unavailable):
                why, wait = str(problem), problem.retry_after
                self._parking.park(job.account, wait or PARK)
            self._forget([job], crawler)
            await self._return([job], Event.PUT_OFF, why, wait or 0.0)
        else:
            present = self._requests.get(crawler.key) or request
            if not live:  # cancelled meanwhile
                self._forget([job], crawler)
            elif not self._let_through(crawler, [job]):
                pass  # it is being returned
            elif self._stopped or present.link not in crawler.links:
                self._forget([job], crawler)
                await self._return([job], Event.RETURNED, "its crawler has gone, or the node stops")
            else:
                self._requests.drop(crawler.key)
                self._send(present, [job], [token])
        self._wake()

    def _send(self, request: PendingRequest, jobs: Sequence[Claimed], tokens: Sequence[str]) -> None:
        crawler, now = request.crawler, self._reactor.seconds()
        for job, token in zip(jobs, tokens, strict=True):
            crawler.held[job.assignment] = Held(now, reported=False, token=token)
            self._bus.publish(_sent(job, crawler))
        crawler.sent_at = now
        request.link.push(JobResponse(jobs=tuple(map(_wire, jobs, tokens))))

    def _forget(self, jobs: Sequence[Claimed], crawler: Crawler) -> None:
        for job in jobs:
            crawler.drop(job.assignment)

    async def _return_held_back(self, jobs: Sequence[Claimed], reasons: Sequence[str]) -> None:
        mark = self._restrictions.mark
        await until_done("Marking paused jobs", lambda: mark(jobs), self._reactor, lambda: False)
        await self._return(jobs, Event.RETURNED, reasons)

    async def _return(
        self, jobs: Sequence[Claimed], event: Event, reason: str | Sequence[str], delay: float = 0.0
    ) -> None:
        names = [job.assignment for job in jobs]
        transitions = by_assignment(names, event, reason, delay)
        self._registry.ending.update(names)
        try:
            await self._apply("Returning jobs to the queue", transitions)
        finally:
            self._registry.ending.difference_update(names)

    async def _apply(self, what: str, requests: list[TransitionRequest]) -> None:
        await until_done(what, lambda: self._transitions.run(requests), self._reactor, lambda: False)

    def _background(self, coroutine: Coroutine[Deferred[Any], Any, None]) -> None:
        d = Deferred.fromCoroutine(coroutine)
        self._returns.add(d)
        d.addErrback(lambda failure: self.log.failure("Delivering a job failed", failure))
        d.addBoth(lambda _: self._returns.discard(d))


def _sent(job: Claimed, crawler: Crawler) -> JobSent:
    return JobSent(
        job_of(job.assignment),
        job.assignment,
        crawler.crawler_id,
        job.waited,
        job.account,
        job.command,
        job.full_path,
    )


def _wire(job: Claimed, token: str) -> Job:
    return Job(
        id=job.assignment,
        entity_type=job.entity_type,
        entity_id=job.entity_id,
        gitlab_url=job.gitlab_url,
        access_token=token,
        command=job.command,
        try_=job.try_,
        resume_state=job.resume_state,
        full_path=job.full_path,
        area_type=job.area_type,
        branch=job.branch,
    )
