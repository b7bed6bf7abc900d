"""Handing out work: standing requests are served as soon as there is a job and room.

One round of claiming is in flight at a time; it serves everyone who stands at its start. For crawlers that end their
jobs and ask at once the next ones are claimed for the node, in the transaction that stores the ends
(:mod:`copilot_socket.handlers.ahead`). One that waits while a job is put in gets it in the transaction that stores
that (:mod:`copilot_socket.handlers.offering`).
"""

from collections.abc import Sequence

import psycopg2
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from copilot_socket.core.jobs import ENTITY_TYPES, Event, commands_for
from copilot_socket.core.replies import JobResponse
from copilot_socket.handlers.ahead import ClaimsAhead, EntityTypes, runs_ahead
from copilot_socket.handlers.crawlers import Crawler, Link, Registry
from copilot_socket.handlers.delivery import Delivery
from copilot_socket.handlers.doubts import Doubts
from copilot_socket.handlers.ownership import Ownership
from copilot_socket.handlers.reserve import Reserve
from copilot_socket.handlers.rivals import Rivals
from copilot_socket.handlers.standing import Standing, by_crawler, by_entity_types, fit, room_of
from copilot_socket.handlers.tokens import Tokens
from copilot_socket.store.claims import Claims
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.transitions import Transitions
from copilot_socket.store.turns import Claim, Claimed, Wants
from copilot_socket.store.writer import Writer
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
        writer: Writer,
        claims: Claims,
        tokens: Tokens,
        transitions: Transitions,
        reactor: IReactorTime,
        telling: Telling,
    ) -> None:
        self._writer = writer
        self._claims = claims
        self._reactor = reactor
        self.reserve = Reserve(reactor)
        self.reserve.on_unwanted = self._unwanted
        self.ownership = Ownership(writer, self.reserve, reactor)
        self._rivals = Rivals(reactor)
        self.ahead = ClaimsAhead(registry, self.reserve, self._rivals, claims)
        self.ahead.on_kept = self._kept
        self.ahead.on_more = self.wake
        self._registry = registry
        self._delivery = Delivery(
            claims,
            tokens,
            transitions,
            self.reserve,
            self.ownership,
            reactor,
            telling,
            present=self._present,
            on_sent=self.drop_request,
            on_room=self.wake,
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

    def drop_request(self, crawler: Crawler) -> None:
        """What *crawler* has asked stands no longer: it is answered, or asked anew."""
        self._drop(crawler.key)

    def request(self, link: Link, limit: int) -> None:
        """Let the crawler behind *link* stand for up to *limit* jobs; a later request replaces an earlier one."""
        crawler = link.crawler
        self.drop_request(crawler)
        crawler.prompt = crawler.pending > 0 or self._reactor.seconds() - crawler.ended_at < PROMPT
        standing = Standing(crawler, link, limit, settled=not crawler.pending)
        if self._serve(standing):
            return
        self._standing[crawler.key] = standing
        if standing.settled:
            self.wake()
        else:
            self.ahead.hungry[crawler.key] = standing
            crawler.when_settled(lambda: self._settled(standing))

    def withdraw(self, link: Link) -> None:
        """The connection is over, and the request made over it."""
        standing = self._standing.get(link.crawler.key)
        if standing is not None and standing.link is link:
            self.drop_request(link.crawler)

    def ended(self, crawler: Crawler) -> None:
        """That a job of *crawler*'s is over is stored: there is room."""
        standing = self._standing.get(crawler.key)
        if standing is not None and not self._serve(standing) and standing.settled:
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
        self.ahead.stop()
        await self._running
        await self._writer.drained()
        self.reserve.stop()
        self.ownership.stop()
        await self._writer.drained()
        await self._delivery.stop()

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
        self._delivery.deliver(Standing(crawler, link, len(jobs)), jobs)
        return True

    async def look_after(self) -> None:
        """Forget the requests of crawlers that have since asked at another node, and what was claimed unheard."""
        if self._standing:
            for key in await self._claims.not_ours(list(self._standing)):
                self._drop(key)
        await self._give_back_unheard()

    def over(self, assignment: str) -> None:
        """The try has ended, by no report of its crawler's."""
        self.reserve.drop(assignment)
        if self._registry.ended(assignment) is not None:
            self.wake()

    # -- jobs in reserve

    def _kept(self, entity_types: EntityTypes, last: bool) -> None:
        """Serve those who have asked meanwhile; with the *last* jobs of the queue everyone who waits."""
        for standing in list(self.ahead.hungry.values()):
            self._serve(standing)
        if last and self.reserve.count(entity_types):
            for standing in list(self._standing.values()):
                self._serve(standing)

    async def _give_back_unheard(self) -> None:
        jobs = await self.ahead.unheard()
        if jobs:
            self._delivery.give_back(jobs, Event.RETURNED, "its claim was not heard of")

    def _serve(self, standing: Standing) -> bool:
        """Give *standing* what is kept for such crawlers; whether it got something."""
        crawler = standing.crawler
        if (
            not (standing.settled or runs_ahead(standing))
            or not crawler.present
            or crawler.offered
            or crawler.arriving
            or crawler.key in self._doubts
            or self._stopped
        ):
            return False
        jobs = self.reserve.take(crawler.entity_types, max(0, min(standing.limit, crawler.room)))
        return bool(jobs) and self._delivery.deliver(standing, jobs)

    def _settled(self, standing: Standing) -> None:
        """What its crawler had said before it asked is stored."""
        standing.settled = True
        key = standing.crawler.key
        if self._standing.get(key) is standing:
            self.ahead.hungry.pop(key, None)
            if not self._serve(standing):
                self.wake()

    def _unwanted(self, jobs: Sequence[Claimed]) -> None:
        """Nobody has asked for *jobs*: who could have does not ask so soon."""
        for crawler in self._registry:
            if crawler.key not in self._standing and crawler.room > 0:
                crawler.prompt = crawler.quick = False
        self._delivery.give_back(jobs, Event.RETURNED, "its crawler did not ask")

    # -- offers of single jobs

    def offered(self, jobs: Sequence[Claimed]) -> None:
        """*jobs* are stored, and assigned to crawlers that stood by for them."""
        self._hand_over(jobs)

    def doubt(self, wants: Wants) -> None:
        """Whether jobs were assigned as in *wants* is not known; a look will tell."""
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
        if self.ahead.in_doubt:
            await self._give_back_unheard()
        everyone = [standing for standing in self._standing.values() if standing.settled and standing.crawler.present]
        served: set[str] = set()
        for entity_types, group in by_entity_types(everyone).items():
            room = room_of(group)
            wants = Wants(room, commands_for(entity_types), self._rivals.spare(sum(room.values())))
            if not wants:
                continue
            claim = await self._claim(wants)
            contended = contended or claim.contended
            served |= self._hand_over(claim.jobs)
        fresh = [item for item in everyone if not item.answered and item.crawler.key not in served]
        await self._answer_empty(fresh)
        self._again = self._again or contended
        return contended and not served

    async def _claim(self, wants: Wants) -> Claim:
        try:
            claim = await self._claims.claim(wants)
        except DatabaseAway:  # perhaps it was committed all the same
            self.doubt(wants)
            raise
        if claim.contended:
            self._rivals.met()
        return claim

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
                continue
            fitting, spare = fit(theirs, standing.crawler)
            if spare:  # it was served from the reserve meanwhile
                self._delivery.give_back(spare, Event.RETURNED, "its crawler has no room left")
            if fitting and self._delivery.deliver(standing, fitting):
                served.add(key)
        return served

    def _drop(self, key: str) -> None:
        if self._standing.pop(key, None) is not None:
            self.ahead.hungry.pop(key, None)

    def _present(self, standing: Standing) -> Standing | None:
        """The request that a job for *standing*'s crawler answers by now, if any can be sent."""
        standing = self._standing.get(standing.crawler.key, standing)
        return None if self._stopped or standing.link not in standing.crawler.links else standing
