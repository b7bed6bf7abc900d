"""Handing out work: standing requests are served as soon as there is a job and room.

Jobs are claimed for all who wait, in rounds (:mod:`copilot_socket.handlers.rounds`). For crawlers that end their jobs
and ask at once the next ones are claimed for the node, in the transaction that stores the ends
(:mod:`copilot_socket.handlers.ahead`). One that waits while a job is put in gets it in the transaction that stores
that (:mod:`copilot_socket.handlers.offering`).
"""

from collections.abc import Sequence

from twisted.internet.interfaces import IReactorTime

from copilot_socket.core.jobs import ENTITY_TYPES, Event
from copilot_socket.handlers.ahead import ClaimsAhead, EntityTypes, runs_ahead
from copilot_socket.handlers.crawlers import Crawler, Link, Registry
from copilot_socket.handlers.delivery import Delivery
from copilot_socket.handlers.ownership import Ownership
from copilot_socket.handlers.reserve import Reserve
from copilot_socket.handlers.rivals import Rivals
from copilot_socket.handlers.rounds import Rounds
from copilot_socket.handlers.standing import Standing, by_crawler, fit
from copilot_socket.handlers.tokens import Tokens
from copilot_socket.store.claims import Claims
from copilot_socket.store.transitions import Transitions
from copilot_socket.store.turns import Claimed, Wants
from copilot_socket.store.writer import Writer
from copilot_socket.telling import Telling

PROMPT = 0.05
"""Seconds between the end of a job and the next request, for a crawler that is taken to ask at once."""


class Dispatcher:
    """Serves requests for work."""

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
        rivals = Rivals(reactor)
        self.ahead = ClaimsAhead(registry, self.reserve, rivals, claims)
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
        self._rounds = Rounds(
            self._standing, claims, rivals, reactor, hand_over=self._hand_over, first=self._settle_doubts
        )
        self._stopped = False

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
        self._rounds.wake()

    def work_came(self) -> None:
        """There are new jobs: they go out at once."""
        self._rounds.work_came()

    async def stop(self) -> None:
        """Claim no more; what is claimed and not sent goes back."""
        self._stopped = True
        self.ahead.stop()
        await self._rounds.stop()
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

    async def _settle_doubts(self) -> None:
        if self.ahead.in_doubt:
            await self._give_back_unheard()

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
            or self._rounds.doubtful(crawler.key)
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
        self._rounds.doubt(wants)

    def idle(self, command: str) -> Crawler | None:
        """A crawler that waits for a job with such a command, and for which nothing is under way."""
        if self._stopped or self._rounds.busy:
            return None
        for key, standing in self._standing.items():
            crawler = standing.crawler
            if (
                ENTITY_TYPES[command] in crawler.entity_types
                and crawler.present
                and not crawler.pending
                and crawler.room > 0
                and not self._rounds.doubtful(key)
            ):
                return crawler
        return None

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
