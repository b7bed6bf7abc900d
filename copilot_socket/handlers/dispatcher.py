"""Handing out work: standing requests are served as soon as there is a job and room.

One round of claiming is in flight at a time; it serves everyone who stands at its start. A crawler that ends a job
and asks at once gets the next one in the transaction that stores the ending: the writer asks what is wanted. One that
waits while a job is put in gets it in the transaction that stores it (:mod:`copilot_socket.handlers.offering`).
"""

from collections.abc import Collection, Mapping, Sequence

import psycopg2
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from copilot_socket.core.jobs import ENTITY_TYPES, Event, commands_for
from copilot_socket.core.replies import JobResponse
from copilot_socket.handlers.crawlers import Crawler, Link, Registry
from copilot_socket.handlers.delivery import Delivery
from copilot_socket.handlers.doubts import Doubts
from copilot_socket.handlers.reserve import Reserve
from copilot_socket.handlers.standing import Standing, by_crawler, by_entity_types, room_of
from copilot_socket.handlers.tokens import Tokens
from copilot_socket.store.claims import Claims
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.transitions import Transitions
from copilot_socket.store.turns import NOTHING, Claim, Claimed, Wants
from copilot_socket.telling import Telling

PROMPT = 0.05
"""Seconds between the end of a job and the next request, for a crawler that is taken to ask at once."""
RETRY = 0.2
"""Seconds before a claim that failed is tried again."""
BEATEN_FIRST, BEATEN_MOST = 0.002, 0.1
"""Seconds before the next claim when other nodes had all that was wanted; doubled each time."""


class Dispatcher:
    """Serves requests for work."""

    log = Logger()

    def __init__(
        self,
        registry: Registry,
        claims: Claims,
        tokens: Tokens,
        transitions: Transitions,
        reactor: IReactorTime,
        telling: Telling,
    ) -> None:
        self._registry = registry
        self._claims = claims
        self._reactor = reactor
        self._delivery = Delivery(
            claims,
            tokens,
            transitions,
            reactor,
            telling,
            present=self._present,
            on_sent=self._served,
            on_room=self.wake,
        )
        self._reserve = Reserve(
            reactor, lambda jobs: self._delivery.give_back(jobs, Event.RETURNED, "its crawler did not ask")
        )
        self._standing: dict[str, Standing] = {}
        self._busy = False
        self._running: Deferred[None] = succeed(None)
        self._again = False
        self._stopped = False
        self._doubts = Doubts(claims)

    @property
    def standing(self) -> int:
        """How many crawlers wait for work."""
        return len(self._standing)

    # -- requests

    def expect(self, crawler: Crawler, limit: int) -> None:
        """A request of *crawler* is on its way here; it waits for what the crawler said before to be stored."""
        crawler.asking = limit
        if crawler.pending or self._reactor.seconds() - crawler.ended_at < PROMPT:
            crawler.prompt = True

    def drop_request(self, crawler: Crawler) -> None:
        """*crawler* asks anew: what it asked before stands no longer."""
        self._standing.pop(crawler.key, None)

    def request(self, link: Link, limit: int) -> None:
        """Let the crawler behind *link* stand for up to *limit* jobs; a later request replaces an earlier one."""
        standing = Standing(link.crawler, link, limit)
        kept = self._reserve.take(link.crawler, limit)
        if kept and self._delivery.deliver(standing, kept):
            self._standing.pop(link.crawler.key, None)
            return
        self._standing[link.crawler.key] = standing
        self.wake()

    def withdraw(self, link: Link) -> None:
        """The connection is over, and the request made over it."""
        standing = self._standing.get(link.crawler.key)
        if standing is not None and standing.link is link:
            del self._standing[link.crawler.key]
        if link.crawler.links == [link]:
            self._reserve.drop(link.crawler)

    def ended(self, crawler: Crawler) -> None:
        """*crawler* is done with a job: there is room."""
        crawler.ended_at = self._reactor.seconds()
        if crawler.key in self._standing:
            self.wake()

    def wake(self) -> None:
        """There may be room, or a request; those that arrive together with it are served together."""
        self._look(gathering=True)

    def work_came(self) -> None:
        """There are new jobs: they go out at once."""
        self._look(gathering=False)

    def _look(self, gathering: bool) -> None:
        self._again = True
        if not self._busy and self._standing and not self._stopped:
            self._busy = True
            self._running = Deferred.fromCoroutine(self._run(gathering))
            self._running.addErrback(lambda failure: self.log.failure("Dispatch failed", failure))

    async def stop(self) -> None:
        """Claim no more; what is claimed and not sent goes back."""
        self._stopped = True
        await self._running
        self._reserve.stop()
        await self._delivery.stop()

    async def resend(self, link: Link) -> bool:
        """Answer with what the crawler was given before this connection and never reported on, if there is any."""
        crawler = link.crawler
        self._reserve.take(crawler)  # it is among what was never reported on
        doubtful = [name for name, held in crawler.held.items() if not held.reported]
        doubtful = [name for name in doubtful if (crawler.held[name].sent_at or 0.0) < link.opened_at]
        if not doubtful:
            return False
        jobs = [job for job in await self._claims.unreported([crawler.key]) if job.assignment in doubtful]
        if not jobs:
            return False
        await self._claims.handed_token([job.assignment for job in jobs])
        self._delivery.deliver(Standing(crawler, link, len(jobs)), jobs)
        return True

    async def drop_moved(self) -> None:
        """Forget the requests of crawlers that have since asked at another node."""
        if self._standing:
            for key in await self._claims.not_ours(list(self._standing)):
                self._standing.pop(key, None)

    # -- asked by those who store reports and jobs

    def wants(self, endings: Mapping[str, Collection[str]]) -> Wants:
        """What to claim beside the completion of these assignments, by the keys of the crawlers that say so."""
        if self._stopped:
            return NOTHING
        room: dict[str, int] = {}
        ending: dict[str, int] = {}
        entity_types: tuple[str, ...] | None = None
        for key, assignments in endings.items():
            crawler = self._registry.get(key)
            if crawler is None or not crawler.present or crawler.offered or key in self._doubts:
                continue
            standing = self._standing.get(key)
            asking = standing.limit if standing is not None else crawler.asking
            wanted = min(len(assignments), asking or (len(assignments) if crawler.prompt else 0))
            # All in one statement take the same commands; who takes others is served by the next round.
            if wanted and crawler.entity_types == (entity_types or crawler.entity_types):
                entity_types = crawler.entity_types
                room[key], ending[key] = wanted, crawler.count_endings(assignments)
        return Wants(room, commands_for(entity_types or ()), ending)

    def claimed(self, claim: Claim) -> None:
        """Hand over what was claimed beside something else, or keep it until its crawler asks."""
        for key, jobs in by_crawler(claim.jobs).items():
            standing, crawler = self._standing.get(key), self._registry.get(key)
            if standing is not None:
                self._delivery.deliver(standing, jobs)
            elif crawler is not None and not self._stopped:
                self._reserve.keep(crawler, jobs)
            else:
                self._delivery.give_back(jobs, Event.RETURNED, "its crawler has gone, or the node stops")
        if claim.contended:
            self.wake()

    def doubt(self, wants: Wants) -> None:
        """Whether these claims were committed is not known; a look will tell."""
        self._doubts.add(wants.room)
        self.wake()

    def idle(self, command: str) -> Crawler | None:
        """A crawler that waits for a job with such a command, and for which nothing is under way."""
        if self._stopped or self._busy:
            return None
        for key, standing in self._standing.items():
            crawler = standing.crawler
            if (
                ENTITY_TYPES[command] in crawler.entity_types
                and crawler.present
                and not crawler.pending
                and crawler.room > 0
                and key not in self._doubts
            ):
                return crawler
        return None

    # -- rounds

    async def _run(self, gathering: bool) -> None:
        try:
            if gathering:
                await deferLater(self._reactor, 0)
            await self._rounds()
        finally:
            self._busy = False

    async def _rounds(self) -> None:
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

    async def _round(self) -> bool:
        """Claim for all that stand; whether other nodes had everything that was there."""
        contended = False
        self._hand_over(await self._doubts.settle(self._standing))
        everyone = [standing for standing in self._standing.values() if self._ready(standing)]
        served: set[str] = set()
        for entity_types, group in by_entity_types(everyone).items():
            wants = Wants(room_of(group), commands_for(entity_types))
            if not wants:
                continue
            claim = await self._claim(wants)
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

            def settled() -> None:
                standing.awaited = False
                self.wake()

            crawler.when_settled(settled)
        return crawler.present and not crawler.pending

    async def _claim(self, wants: Wants) -> Claim:
        try:
            return await self._claims.claim(wants)
        except DatabaseAway:  # perhaps it was committed all the same
            self.doubt(wants)
            raise

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
        served: set[str] = set()
        for key, theirs in by_crawler(jobs).items():
            standing = self._standing.get(key)
            if standing is None:
                self._delivery.give_back(theirs, Event.RETURNED, "its crawler has gone")
            elif self._delivery.deliver(standing, theirs):
                served.add(key)
        return served

    def _served(self, crawler: Crawler) -> None:
        self._standing.pop(crawler.key, None)

    def _present(self, standing: Standing) -> Standing | None:
        """The request that a job for *standing*'s crawler answers by now, if any can be sent."""
        standing = self._standing.get(standing.crawler.key, standing)
        return None if self._stopped or standing.link not in standing.crawler.links else standing
