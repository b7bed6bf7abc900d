"""Crawlers come, speak, fall silent and go: presence, and the leases that hang on it (docs/protocol.md, "Leases")."""

from collections.abc import Callable
from math import ceil
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.core.jobs import Loss
from copilot_socket.core.reading_clock import ReadingClock
from copilot_socket.event_bus import ConnectionChanged, CrawlerChanged, EventBus
from copilot_socket.handlers.crawlers import Crawler, Held, Link, Registry
from copilot_socket.store.faults import DATABASE_ERRORS, DatabaseAway
from copilot_socket.store.leases import ConnectionState, Leases
from copilot_socket.store.operations import ConnectionSeen, Presence
from copilot_socket.store.outage import is_outage
from copilot_socket.store.writer import Writer

MARGIN = 0.002
DRIFT = 0.0005
"""Seconds, and a share of it, added to a grace before looking, so that the database's clock agrees that it is over:
one that is being set right runs slower by no more than that share."""

TOGETHER = 0.02
"""Seconds: graces that end within the same unit share one timer and one query, however many crawlers leave."""

RETRY = 0.2
"""Seconds before a look-up that failed is tried again."""


class PresenceKeeper:
    """Knows who is here, and tells the database."""

    log = Logger()

    def __init__(
        self,
        registry: Registry,
        writer: Writer,
        leases: Leases,
        reading_clock: ReadingClock,
        reactor: IReactorTime,
        bus: EventBus,
        *,
        heartbeat_timeout: float,
        connection_timeout: float,
        reveal: Callable[[str], str],
        on_room: Callable[[], None],
    ) -> None:
        self._registry = registry
        self._writer = writer
        self._leases = leases
        self._reading_clock = reading_clock
        self._reactor = reactor
        self._bus = bus
        self._heartbeat_timeout = heartbeat_timeout
        self._connection_timeout = connection_timeout
        self._reveal = reveal
        self._on_room = on_room
        self._healthy_since: float | None = None
        self._renewed_at = 0.0
        self._stopping = False
        self._timers: dict[int, IDelayedCall] = {}
        """By when they are due, in units of :data:`TOGETHER`."""

    # -- connections

    def opened(self, link: Link, crawler: Crawler) -> None:
        """A connection that speaks for *crawler* until it says otherwise."""
        crawler = self._registry.join(link, crawler)
        link.awaited_since = self._reading_clock.now
        if len(crawler.links) == 1:
            crawler.last_seen = self._reading_clock.now
        self._note(link, active=True)
        self._bus.publish(ConnectionChanged(link.id, crawler.crawler_id, "opened"))

    def closed(self, link: Link, reason: str) -> None:
        """The connection is over; a crawler without another one has a grace to come back."""
        crawler = self._registry.leave(link)
        if self._stopping:
            return
        self._note(link, active=False)
        self._bus.publish(ConnectionChanged(link.id, crawler.crawler_id, "closed", reason))
        if not any(other.spoken for other in crawler.links) and crawler.present:
            self._gone(crawler, "left")

    def identify(self, link: Link, crawler: Crawler) -> Crawler:
        """``hello``: from now on *link* speaks for *crawler*."""
        self._registry.leave(link)
        crawler = self._registry.join(link, crawler)
        self._note(link, active=True)
        self._bus.publish(ConnectionChanged(link.id, crawler.crawler_id, "identified"))
        return crawler

    # -- crawlers

    def heard(self, crawler: Crawler) -> None:
        """Any valid message is a sign of life."""
        if self.came(crawler):
            self.background(self.arrive(crawler))

    def came(self, crawler: Crawler) -> bool:
        """Note a sign of life; whether it is the first one, after which the crawler has yet to :meth:`arrive`."""
        crawler.last_seen = self._reading_clock.now
        crawler.silent_since = None
        if crawler.present:
            return False
        crawler.present = True
        self._bus.publish(CrawlerChanged(crawler.crawler_id, "came"))
        return True

    def lives(self, crawler: Crawler) -> None:
        """Something came of *crawler* that is no valid message: where it is here, it lives, whatever it says."""
        if crawler.present:
            crawler.last_seen = self._reading_clock.now

    async def arrive(self, crawler: Crawler, *, must_confirm: bool = False) -> None:
        """Take the crawler's lease, and learn what it holds from before.

        *must_confirm*: what it holds is released unless its reports name it within one more grace, those that come
        in the same read as its ``hello`` among them.
        """
        number = crawler.begin()
        crawler.arriving += 1
        try:
            within = self._leases.grace if must_confirm else None
            await self._writer.submit(_presence(crawler, present=True, confirm_within=within))
            await self.learn(crawler)
        finally:
            crawler.arriving -= 1
            crawler.end(number)
        self._on_room()

    async def learn(self, crawler: Crawler) -> None:
        """Bring what is known of the crawler's assignments in line with the database."""
        await crawler.held_lock.run(lambda: Deferred.fromCoroutine(self._learn(crawler)))

    async def _learn(self, crawler: Crawler) -> None:
        before = set(crawler.held)
        rows = await self._held_by(crawler)
        known = crawler.held
        # The database was read before what the crawler has been given, or has lost, meanwhile.
        held = {name: each for name, each in known.items() if name not in before}
        for name, reported, stored in rows:
            if name in known or name not in before:
                held[name] = known.get(name) or Held(None, reported, token=self._reveal(stored))
        crawler.hold(held)

    async def _held_by(self, crawler: Crawler) -> list[tuple[str, bool, str]]:
        """What the database says, once it is there: messages wait for it as long as the crawler is connected."""
        while True:
            try:
                return await self._leases.held_by(crawler.key)
            except DatabaseAway:
                if self._stopping or not crawler.links:
                    raise
            await deferLater(self._reactor, RETRY)

    async def keep_only(self, crawler: Crawler, assignments: tuple[str, ...] | None) -> None:
        """What a crawler that came back still holds: *assignments*, or those that it names within one more grace."""
        if assignments is None:
            if crawler.held:
                self._release_after_grace()
            return
        await self._leases.confirm([name for name in crawler.held if name in assignments])
        lost = [name for name in crawler.held if name not in assignments]
        await self.release(crawler, lost, Loss.WITHOUT_IT)

    async def release(self, crawler: Crawler, assignments: list[str], reason: Loss) -> None:
        """Queue again what *crawler* is known not to hold any more."""
        if assignments:
            await crawler.held_lock.run(lambda: Deferred.fromCoroutine(self._release(crawler, assignments, reason)))
            self._on_room()

    async def _release(self, crawler: Crawler, assignments: list[str], reason: Loss) -> None:
        held = {name: crawler.held[name] for name in assignments if name in crawler.held}
        for name in held:  # first: else the notification would fence them
            crawler.drop(name)
        try:
            await self._leases.release(assignments, reason)
        except Exception:
            crawler.hold({**held, **crawler.held})
            raise

    def _gone(self, crawler: Crawler, how: str) -> None:
        crawler.present = False
        self._bus.publish(CrawlerChanged(crawler.crawler_id, how))
        self.background(self._depart(crawler))

    async def _depart(self, crawler: Crawler) -> None:
        await self._writer.submit(_presence(crawler, present=False))
        self._release_after_grace()

    # -- rounds of the timers

    def look_for_silence(self) -> None:
        """Find crawlers that have been silent for too long, and connections that never said a thing."""
        now = self._reading_clock.tick(self._reactor.seconds())
        for crawler in self._registry:
            if any(link.held_back for link in crawler.links):  # it may have spoken, unread
                crawler.last_seen = now
                continue
            silence = now - crawler.last_seen
            if crawler.present and silence > self._heartbeat_timeout:
                crawler.silent_since = now
                self._gone(crawler, "fell silent")
            elif crawler.silent_since is not None and now - crawler.silent_since > self._leases.grace:
                self._close_all(crawler, "silent past the heartbeat time-out")
            elif not crawler.present and crawler.silent_since is None and silence > self._connection_timeout:
                for link in list(crawler.links):
                    if not link.spoken and now - link.awaited_since > self._connection_timeout:
                        link.close("no valid message within the connection time-out")

    async def renew(self) -> None:
        """Renew the leases of all live crawlers, and show in ``socket_connections`` how they are."""
        present = self._registry.present()
        try:
            await self._leases.renew([crawler.key for crawler in present])
        except DATABASE_ERRORS:
            self._healthy_since = None
            raise
        now = self._reactor.seconds()
        if self._healthy_since is None or now - self._renewed_at > self._leases.lease:
            self._healthy_since = now  # or it was late: then others may have been kept from theirs as well
        self._renewed_at = now
        for crawler in present:
            if not crawler.present:  # it left while the renewal was on its way, which may have come last
                self.background(self._depart(crawler))
        await self._correct(present)
        await self._leases.show([self._state(link) for link in self._registry.links()])

    async def release_lost(self) -> None:
        """Queue again what crawlers have lost; those of other nodes only once this node may judge."""
        if await self._leases.release_lost(self._may_judge()):
            self._on_room()

    async def time_out(self) -> None:
        """End attempts without a report, and those whose crawlers were refused a token.

        While the database is away nobody can report: time-outs wait until this node may judge.
        """
        ended = await self._leases.settle_refused()
        if self._may_judge():
            ended += await self._leases.time_out()
        if ended:
            self._on_room()

    def database_failed(self) -> None:
        """The database was away: leases could not be renewed, by anyone."""
        self._healthy_since = None

    def stop(self) -> None:
        """Running assignments keep their leases: nobody is taken for dead because this node goes."""
        self._stopping = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def leave(self) -> None:
        """Store when crawlers were last heard, and give up the node's lease."""
        await self._leases.show([self._state(link) for link in self._registry.links()])
        await self._leases.leave()

    def background(self, coroutine: Any) -> None:
        """Run *coroutine* and log its failure."""
        d = Deferred.fromCoroutine(coroutine)
        d.addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        """A database that is away, or that a stopping node has left, is no fault here: the next round looks again."""
        if is_outage(failure.value):
            self.log.debug("Keeping presence is left to the next round: {error}", error=failure.value)
        else:
            self.log.failure("Keeping presence failed", failure)

    def _may_judge(self) -> bool:
        """Only after its own renewals have worked for one whole lease may a node take others' leases for lost."""
        since = self._healthy_since
        return since is not None and self._reactor.seconds() - since >= self._leases.lease

    async def _correct(self, crawlers: list[Crawler]) -> None:
        """Another node may have ended what a crawler here held."""
        settled = [crawler for crawler in crawlers if crawler.pending == 0 and crawler.held]
        if not settled:
            return
        before = {crawler.key: set(crawler.held) for crawler in settled}
        held = await self._leases.held([crawler.key for crawler in settled])
        for crawler in settled:
            for name in before[crawler.key].difference(held.get(crawler.key, ())):
                crawler.fence(name)
                self._on_room()

    def _state(self, link: Link) -> ConnectionState:
        crawler = link.crawler
        silent = self._reading_clock.now - crawler.last_seen if link.spoken else None
        activity = crawler.activity
        status, details = (None, b"{}") if activity is None else (activity.system_status, activity.details)
        return ConnectionState(link.id, silent, list(crawler.held), status, details)

    def _note(self, link: Link, active: bool) -> None:
        crawler = link.crawler
        seen = ConnectionSeen(link.id, crawler.key, crawler.crawler_id, active)
        if not active:  # what was heard since the leases were last renewed is stored nowhere
            self._reading_clock.tick(self._reactor.seconds())  # so that it is never said to be later than it was
            state = self._state(link)
            seen = attrs.evolve(seen, silent=state.silent, system_status=state.system_status, metadata=state.metadata)
        d = self._writer.submit(seen)
        d.addErrback(lambda failure: self.log.failure("Noting a connection failed", failure))

    def _close_all(self, crawler: Crawler, reason: str) -> None:
        for link in list(crawler.links):
            link.close(reason)

    def _release_after_grace(self) -> None:
        def run() -> None:
            del self._timers[due]
            self.background(self.release_lost())

        now = self._reactor.seconds()
        due = ceil((now + self._leases.grace * (1 + DRIFT) + MARGIN) / TOGETHER)
        if not self._stopping and due not in self._timers:
            self._timers[due] = self._reactor.callLater(due * TOGETHER - now, run)


def _presence(crawler: Crawler, *, present: bool, confirm_within: float | None = None) -> Presence:
    return Presence(
        crawler.key,
        crawler.crawler_id,
        crawler.max_jobs,
        crawler.entity_types,
        crawler.plain,
        present,
        confirm_within,
    )
