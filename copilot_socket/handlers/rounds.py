"""Rounds of claiming: one is in flight at a time, and serves everyone who stands at its start."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import psycopg2
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel

from copilot_socket.core.jobs import commands_for
from copilot_socket.core.replies import JobResponse
from copilot_socket.handlers.doubts import Doubts
from copilot_socket.handlers.rivals import Rivals
from copilot_socket.handlers.standing import Standing, by_entity_types, room_of
from copilot_socket.store.claims import Claims
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.outage import level
from copilot_socket.store.turns import Claim, Claimed, Wants

RETRY = 0.2
"""Seconds before a claim that failed is tried again."""
BEATEN_FIRST, BEATEN_MOST = 0.002, 0.1
"""Seconds before the next claim when other nodes had all that was wanted; doubled each time."""


class Rounds:
    """Claims for those in *standing*, by the keys of their crawlers.

    *hand_over* is given what was claimed, and says who was served. *first* is awaited at the start of each round.
    """

    log = Logger()

    def __init__(
        self,
        standing: Mapping[str, Standing],
        claims: Claims,
        rivals: Rivals,
        reactor: IReactorTime,
        hand_over: Callable[[Sequence[Claimed]], set[str]],
        first: Callable[[], Awaitable[None]],
    ) -> None:
        self._standing = standing
        self._claims = claims
        self._rivals = rivals
        self._reactor = reactor
        self._hand_over = hand_over
        self._first = first
        self._doubts = Doubts(claims)
        self._running: Deferred[None] = succeed(None)
        self._again = False
        self._stopped = False
        self.busy = False
        """Whether a round is in flight."""

    def wake(self) -> None:
        """There may be room, or a request; those that arrive together with it are served together."""
        self._look(gathering=True)

    def work_came(self) -> None:
        """There are new jobs: they go out at once."""
        self._look(gathering=False)

    def doubt(self, wants: Wants) -> None:
        """Whether jobs were assigned as in *wants* is not known; a look will tell."""
        self._doubts.add(wants.room)
        self.wake()

    def doubtful(self, key: str) -> bool:
        """Whether the crawler with this *key* may have been assigned jobs that nobody has heard of."""
        return key in self._doubts

    async def stop(self) -> None:
        """Claim no more."""
        self._stopped = True
        await self._running

    def _look(self, gathering: bool) -> None:
        self._again = True
        if not self.busy and self._standing and not self._stopped:
            self.busy = True
            self._running = Deferred.fromCoroutine(self._run(gathering))
            self._running.addErrback(lambda failure: self.log.failure("Dispatch failed", failure))

    async def _run(self, gathering: bool) -> None:
        try:
            if gathering:
                await deferLater(self._reactor, 0)
            await self._rounds()
        finally:
            self.busy = False

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
                self.log.emit(level(error, LogLevel.warn), "Claiming failed and is tried again: {error}", error=error)
                self._again = True
                await deferLater(self._reactor, RETRY)

    async def _round(self) -> bool:
        """Claim for all that stand; whether other nodes had everything that was there."""
        contended = False
        self._hand_over(await self._doubts.settle(self._standing))
        await self._first()
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
