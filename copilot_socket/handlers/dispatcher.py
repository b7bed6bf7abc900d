"""Handing out work: standing requests are served as soon as there is a job and room.

One round of claiming is in flight at a time; it serves everyone who stands at its start.
"""

from collections.abc import Coroutine, Sequence
from typing import Any

import attrs
import psycopg2
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from copilot_socket.core.jobs import Event
from copilot_socket.core.replies import Job, JobResponse
from copilot_socket.core.vault import VaultError
from copilot_socket.handlers.crawlers import Crawler, Held, Link
from copilot_socket.handlers.tokens import Refused, Tokens, Unavailable
from copilot_socket.store.claims import Claim, Claimed, Claims
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.transitions import Transitions, by_assignment
from copilot_socket.telling import JobSent, Telling

MAX_SLOTS = 500
RETRY = 0.2
"""Seconds before a claim that failed is tried again."""
BEATEN_FIRST, BEATEN_MOST = 0.002, 0.1
"""Seconds before the next claim when other nodes had all that was wanted; doubled each time."""


@attrs.define(eq=False)
class Standing:
    """A crawler's request for work; ``answered`` once it was given at least an empty response."""

    crawler: Crawler
    link: Link
    limit: int
    answered: bool = False
    awaited: bool = False
    """Its crawler's reports are on their way to the database; it is served when they are there."""


class Dispatcher:
    """Serves requests for work."""

    log = Logger("copilot_socket.dispatch")

    def __init__(
        self, claims: Claims, tokens: Tokens, transitions: Transitions, reactor: IReactorTime, telling: Telling
    ) -> None:
        self._claims = claims
        self._tokens = tokens
        self._transitions = transitions
        self._reactor = reactor
        self._telling = telling
        self._standing: dict[str, Standing] = {}
        self._running: Deferred[None] | None = None
        self._again = False
        self._stopped = False
        self._returns: set[Deferred[None]] = set()
        self._doubtful: set[str] = set()
        """Crawlers for which a claim was cut short: it may have been committed."""

    @property
    def standing(self) -> int:
        """How many crawlers wait for work."""
        return len(self._standing)

    def request(self, link: Link, limit: int) -> None:
        """Let the crawler behind *link* stand for up to *limit* jobs; a later request replaces an earlier one."""
        self._standing[link.crawler.key] = Standing(link.crawler, link, limit)
        self.wake()

    def withdraw(self, link: Link) -> None:
        """The connection is over, and the request made over it."""
        standing = self._standing.get(link.crawler.key)
        if standing is not None and standing.link is link:
            del self._standing[link.crawler.key]

    def wake(self) -> None:
        """There may be work, or room for it."""
        self._again = True
        if self._running is None and self._standing and not self._stopped:
            self._running = Deferred.fromCoroutine(self._run())
            self._running.addErrback(lambda failure: self.log.failure("Dispatch failed", failure))

    async def stop(self) -> None:
        """Claim no more; what is claimed and not sent goes back."""
        self._stopped = True
        if self._running is not None:
            await self._running
        while self._returns:
            await next(iter(self._returns))

    async def resend(self, link: Link) -> bool:
        """Answer with what the crawler was given before this connection and never reported on, if there is any."""
        crawler = link.crawler
        doubtful = [name for name, held in crawler.held.items() if not held.reported]
        doubtful = [name for name in doubtful if (crawler.held[name].sent_at or 0.0) < link.opened_at]
        if not doubtful:
            return False
        jobs = [job for job in await self._claims.unreported([crawler.key]) if job.assignment in doubtful]
        if not jobs:
            return False
        await self._claims.handed_token([job.assignment for job in jobs])
        self._deliver(Standing(crawler, link, len(jobs)), jobs)
        return True

    async def drop_moved(self) -> None:
        """Forget the requests of crawlers that have since asked at another node."""
        if self._standing:
            for key in await self._claims.not_ours(list(self._standing)):
                self._standing.pop(key, None)

    async def _run(self) -> None:
        # One turn of the reactor first, so that requests which arrive together are served together.
        await deferLater(self._reactor, 0)
        pause = BEATEN_FIRST
        while self._again and self._standing and not self._stopped:
            self._again = False
            try:
                if not await self._round():
                    pause = BEATEN_FIRST
                    continue
                await deferLater(self._reactor, pause)
                pause = min(2 * pause, BEATEN_MOST)
            except (DatabaseAway, psycopg2.Error) as error:
                self.log.warn("Claiming failed and is tried again: {error}", error=error)
                self._again = True
                await deferLater(self._reactor, RETRY)
        self._running = None
        if self._again:
            self.wake()

    async def _round(self) -> bool:
        """Claim for all that stand; whether other nodes had everything that was there."""
        contended = False
        await self._settle_doubts()
        everyone = [standing for standing in self._standing.values() if self._ready(standing)]
        served: set[str] = set()
        for entity_types, group in _by_entity_types(everyone).items():
            slots = _slots(group)
            if not slots or not entity_types:
                continue
            claim = await self._claim(slots, entity_types)
            contended = contended or claim.contended
            served |= self._hand_over(claim.jobs)
        fresh = [item for item in everyone if not item.answered and item.crawler.key not in served]
        await self._answer_empty(fresh)
        self._again = self._again or contended
        return contended and not served

    def _ready(self, standing: Standing) -> bool:
        """Whether its crawler is alive and nothing that it said before is still to be stored."""
        crawler = standing.crawler
        if crawler.pending and not standing.awaited:
            standing.awaited = True

            def settled(_: None) -> None:
                standing.awaited = False
                self.wake()

            crawler.settled().addCallback(settled)
        return crawler.present and not crawler.pending

    async def _claim(self, slots: Sequence[str], entity_types: Sequence[str]) -> Claim:
        try:
            return await self._claims.claim(slots, entity_types)
        except DatabaseAway:  # perhaps it was committed all the same
            self._doubtful.update(slots)
            raise

    async def _settle_doubts(self) -> None:
        """Send what was claimed and committed without this node's hearing of it."""
        # One for which a job waits for its token has an assignment that is not sent and not lost.
        standing = {key: item.crawler for key, item in self._standing.items() if not item.crawler.reserved}
        keys = self._doubtful.intersection(standing)
        if not keys:
            return
        ours = keys - await self._claims.not_ours(list(keys))
        jobs = await self._claims.unreported(list(ours))
        self._doubtful -= keys
        self._hand_over([job for job in jobs if _never_sent(job, standing[job.crawler])])

    async def _answer_empty(self, fresh: Sequence[Standing]) -> None:
        """Say that there is nothing for now; but a crawler that stood at another node is served here first."""
        moved: set[str] = set()
        if fresh:
            moved = await self._claims.take_over([item.crawler.key for item in fresh])
        for item in fresh:
            if item.crawler.key in moved:
                self._again = True
            elif self._standing.get(item.crawler.key) is item:
                item.answered = True
                item.link.push(JobResponse(jobs=()))

    def _hand_over(self, jobs: Sequence[Claimed]) -> set[str]:
        """Give each crawler its jobs, or give them back where it has gone meanwhile."""
        by_crawler: dict[str, list[Claimed]] = {}
        for job in jobs:
            by_crawler.setdefault(job.crawler, []).append(job)
        served: set[str] = set()
        for key, theirs in by_crawler.items():
            standing = self._standing.get(key)
            if standing is None:
                self._give_back(theirs, Event.RETURNED, "its crawler has gone")
            elif self._deliver(standing, theirs):
                served.add(key)
        return served

    def _deliver(self, standing: Standing, jobs: Sequence[Claimed]) -> bool:
        """Send what can be sent at once, if anything; the rest waits for a token."""
        ready = [job for job in jobs if self._tokens.good(job)]
        try:
            tokens = [self._tokens.reveal(job.access_token) for job in ready]
        except VaultError as error:
            self.log.error("Jobs can't be sent: {error}", error=error)
            self._give_back(jobs, Event.PUT_OFF, str(error))
            return False
        if ready:
            self._send(standing, ready, tokens)
        for job in jobs:
            if not self._tokens.good(job):
                self._background(self._deliver_later(standing, job))
        return bool(ready)

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
            known = isinstance(problem, Unavailable | VaultError)
            await self._return([job], Event.PUT_OFF, str(problem) if known else type(problem).__name__)
        else:
            standing = self._standing.get(crawler.key, standing)
            if self._stopped or standing.link not in standing.crawler.links:
                await self._return([job], Event.RETURNED, "its crawler has gone, or the node stops")
            elif live:  # and not cancelled meanwhile
                self._send(standing, [job], [token])
        finally:
            crawler.reserved -= 1
        self.wake()

    def _send(self, standing: Standing, jobs: Sequence[Claimed], tokens: Sequence[str]) -> None:
        crawler, now = standing.crawler, self._reactor.seconds()
        for job in jobs:
            crawler.held[job.assignment] = Held(now, reported=False)
            self._telling.tell(
                JobSent(job.assignment.partition(".")[0], job.assignment, crawler.crawler_id, job.waited)
            )
        crawler.sent_at = now
        self._standing.pop(crawler.key, None)
        standing.link.push(JobResponse(jobs=tuple(map(_wire, jobs, tokens))))

    def _give_back(self, jobs: Sequence[Claimed], event: Event, reason: str) -> None:
        self._background(self._return(jobs, event, reason))

    async def _return(self, jobs: Sequence[Claimed], event: Event, reason: str) -> None:
        while True:
            try:
                await self._transitions.run(by_assignment([job.assignment for job in jobs], event, reason))
                return
            except (DatabaseAway, psycopg2.Error) as error:
                self.log.warn("Giving back jobs failed and is tried again: {error}", error=error)
                await deferLater(self._reactor, RETRY)

    def _background(self, coroutine: Coroutine[Deferred[Any], Any, None]) -> None:
        d = Deferred.fromCoroutine(coroutine)
        self._returns.add(d)
        d.addErrback(lambda failure: self.log.failure("Delivering a job failed", failure))
        d.addBoth(lambda _: self._returns.discard(d))


def _never_sent(job: Claimed, crawler: Crawler) -> bool:
    held = crawler.held.get(job.assignment)
    return held is None or held.sent_at is None


def _by_entity_types(requests: Sequence[Standing]) -> dict[tuple[str, ...], list[Standing]]:
    groups: dict[tuple[str, ...], list[Standing]] = {}
    for request in requests:
        groups.setdefault(request.crawler.entity_types, []).append(request)
    return groups


def _slots(requests: Sequence[Standing]) -> list[str]:
    """A crawler key for each job wanted, taking turns, so that one large request does not starve the others."""
    wants = {item.crawler.key: max(0, min(item.limit, item.crawler.room)) for item in requests}
    slots: list[str] = []
    while wants and len(slots) < MAX_SLOTS:
        wants = {key: left for key, left in wants.items() if left > 0}
        slots += list(wants)
        wants = {key: left - 1 for key, left in wants.items()}
    return slots[:MAX_SLOTS]


def _wire(job: Claimed, token: str) -> Job:
    return Job(
        id=job.assignment,
        entity_type=job.entity_type,
        entity_id=job.entity_id,
        gitlab_url=job.gitlab_url,
        access_token=token,
        resume_state=job.resume_state,
        command=job.command,
        full_path=job.full_path,
        area_type=job.area_type,
        branch=job.branch,
        try_=job.try_,
    )
