"""Sending what was claimed: with a token that works, or back to the queue."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import psycopg2
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel

from copilot_socket.core.jobs import Event
from copilot_socket.core.replies import Job, JobResponse
from copilot_socket.core.reports import job_of
from copilot_socket.core.vault import VaultError
from copilot_socket.handlers.crawlers import Crawler, Held
from copilot_socket.handlers.ownership import Ownership
from copilot_socket.handlers.reserve import Reserve
from copilot_socket.handlers.standing import Standing
from copilot_socket.handlers.tokens import Refused, Tokens, Unavailable
from copilot_socket.store.claims import Claims
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.outage import level
from copilot_socket.store.transitions import Transitions, by_assignment
from copilot_socket.store.turns import Claimed
from copilot_socket.telling import JobSent, Telling

RETRY = 0.2
"""Seconds before giving back is tried again when the database fails."""


class Delivery:
    """Sends jobs. *on_sent* is told of the request that a job answered, *on_room* when there may be room again."""

    log = Logger()

    def __init__(
        self,
        claims: Claims,
        tokens: Tokens,
        transitions: Transitions,
        reserve: Reserve,
        ownership: Ownership,
        reactor: IReactorTime,
        telling: Telling,
        *,
        present: Callable[[Standing], Standing | None],
        on_sent: Callable[[Crawler], None],
        on_room: Callable[[], None],
    ) -> None:
        self._claims = claims
        self._tokens = tokens
        self._transitions = transitions
        self._reserve = reserve
        self._ownership = ownership
        self._reactor = reactor
        self._telling = telling
        self._present = present
        self._on_sent = on_sent
        self._on_room = on_room
        self._returns: set[Deferred[None]] = set()

    def deliver(self, standing: Standing, jobs: Sequence[Claimed]) -> bool:
        """Send what can be sent at once, if anything; the rest waits for a token."""
        ready, tokens = [], []
        late, sealed = [], []
        for job in jobs:
            if not self._tokens.good(job):
                late.append(job)
                continue
            try:
                tokens.append(self._tokens.reveal(job.access_token))
                ready.append(job)
            except VaultError as error:
                sealed.append(job)
                why = str(error)
        if sealed:  # one account's token must not keep other accounts' jobs
            self.log.error("Jobs can't be sent: {error}", error=why)
            self.give_back(sealed, Event.PUT_OFF, why)
        if ready:
            self._send(standing, ready, tokens)
        for job in late:
            self._background(self._deliver_later(standing, job))
        return bool(ready)

    def give_back(self, jobs: Sequence[Claimed], event: Event, reason: str) -> None:
        """Return *jobs* to the queue, however long that takes."""
        self._background(self._return(jobs, event, reason))

    async def stop(self) -> None:
        """Wait until everything that goes back is back."""
        while self._returns:
            await next(iter(self._returns))

    async def _deliver_later(self, standing: Standing, job: Claimed) -> None:
        """Meanwhile its crawler's request is answered and stands; the job takes up room all the same."""
        crawler = standing.crawler
        crawler.reserved += 1
        try:
            token = await self._tokens.fresh(job.account)
            live = await self._claims.handed_token([job.assignment])
        except Refused as refusal:
            await self._return([job], Event.NO_CREDENTIAL, str(refusal))
        except Exception as problem:  # whatever it is, a job that is claimed and not sent must go back
            why, wait = type(problem).__name__, None
            if isinstance(problem, Unavailable):
                why, wait = str(problem), problem.retry_after
            await self._return([job], Event.PUT_OFF, why, wait or 0.0)
        else:
            present = self._present(standing)
            if present is None:
                await self._return([job], Event.RETURNED, "its crawler has gone, or the node stops")
            elif live:
                self._send(present, [job], [token])
            else:  # cancelled meanwhile
                self._reserve.forget(job.assignment)
        finally:
            crawler.reserved -= 1
        self._on_room()

    def _send(self, standing: Standing, jobs: Sequence[Claimed], tokens: Sequence[str]) -> None:
        crawler, now = standing.crawler, self._reactor.seconds()
        for job, token in zip(jobs, tokens, strict=True):
            crawler.held[job.assignment] = Held(now, reported=False, token=token)
            if job.crawler is None:
                self._ownership.give(job.assignment, crawler, now)
            self._telling.tell(_sent(job, crawler))
        crawler.sent_at = now
        self._on_sent(crawler)
        standing.link.push(JobResponse(jobs=tuple(map(_wire, jobs, tokens))))

    async def _return(self, jobs: Sequence[Claimed], event: Event, reason: str, delay: float = 0.0) -> None:
        asks = by_assignment([job.assignment for job in jobs], event, reason, delay)
        while True:
            try:
                await self._transitions.run(asks)
                break
            except (DatabaseAway, psycopg2.Error) as error:
                how_bad = level(error, LogLevel.warn)
                self.log.emit(how_bad, "Giving back jobs failed and is tried again: {error}", error=error)
                await deferLater(self._reactor, RETRY)
        for job in jobs:
            self._reserve.forget(job.assignment)

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
