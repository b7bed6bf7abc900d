"""Presence of crawlers, and the leases that depend on it (docs/protocol.md, "Leases")."""

from collections.abc import Awaitable, Callable
from math import ceil
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.core.jobs import Loss
from copilot_socket.core.reading_clock import ReadingClock
from copilot_socket.core.vault import Place
from copilot_socket.event_bus import ConnectionChanged, CrawlerChanged, EventBus
from copilot_socket.handlers.crawlers import Crawler, Fences, Held, Link, Registry
from copilot_socket.handlers.retrying import until_done
from copilot_socket.store.faults import DATABASE_ERRORS
from copilot_socket.store.leases import ConnectionState, Leases
from copilot_socket.store.outage import is_outage
from copilot_socket.store.writer import Writer
from copilot_socket.store.writes import ConnectionSeen, Presence

T = TypeVar("T")

MARGIN = 0.002
DRIFT = 0.0005
"""Seconds and fraction added to a grace, so that it is over by the database's clock, too: a clock that is being
adjusted runs slower by at most this fraction."""

TOGETHER = 0.02
"""Seconds: graces that end within the same interval share one timer and one query."""


class PresenceKeeper:
    """Tracks which crawlers are present, and stores it."""

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
        reveal: Callable[[str, Place], str],
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
        self._fences = Fences(leases.grace)
        self._timers: dict[int, IDelayedCall] = {}
        """By due time, in units of :data:`TOGETHER`."""

    # -- connections

    def opened(self, link: Link, crawler: Crawler) -> None:
        """*link* has opened; it belongs to *crawler* until ``hello`` names another."""
        crawler = self._registry.join(link, crawler)
        self._fences.restore(crawler, self._reactor.seconds())
        link.awaited_since = self._reading_clock.now
        if len(crawler.links) == 1:
            crawler.last_seen = self._reading_clock.now
        self._note(link, active=True)
        self._bus.publish(ConnectionChanged(link.id, crawler.crawler_id, "opened", link.identity.description))

    def closed(self, link: Link, reason: str) -> None:
        """*link* has closed; a crawler without another connection has a grace to come back."""
        crawler = self._registry.leave(link)
        self._fences.keep(crawler, self._reactor.seconds())
        if self._stopping:
            return
        self._note(link, active=False)
        self._bus.publish(ConnectionChanged(link.id, crawler.crawler_id, "closed", reason))
        if not any(other.spoken for other in crawler.links) and crawler.present:
            self._gone(crawler, "left")

    def identify(self, link: Link, crawler: Crawler) -> Crawler:
        """``hello``: *link* belongs to *crawler* from now on; return the registered crawler."""
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
        """Record a sign of life; return whether the crawler was absent, and has yet to :meth:`arrive`."""
        crawler.last_seen = self._reading_clock.now
        crawler.silent_since = None
        if crawler.present:
            return False
        crawler.present = True
        self._bus.publish(CrawlerChanged(crawler.crawler_id, "came"))
        return True

    def lives(self, crawler: Crawler) -> None:
        """A sign of life that is no valid message; it counts only for a crawler that is present."""
        if crawler.present:
            crawler.last_seen = self._reading_clock.now

    async def arrive(self, crawler: Crawler, *, must_confirm: bool = False) -> None:
        """Store the crawler's lease and read the assignments that it holds.

        *must_confirm*: assignments are released unless reports name them within one more grace; reports received
        together with ``hello`` count.
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
        """Update the cached assignments of *crawler* from the database."""
        await crawler.held_lock.run(lambda: Deferred.fromCoroutine(self._learn(crawler)))

    async def _learn(self, crawler: Crawler) -> None:
        before = set(crawler.held)
        rows = await self._persist("Reading what a crawler holds", lambda: self._leases.held_by(crawler.key))
        crawler.mode = await self._persist("Reading a crawler's mode", lambda: self._leases.mode_of(crawler.key))
        known = crawler.held
        # The rows may be older than what the crawler was given, or has lost, during the read.
        held = {name: each for name, each in known.items() if name not in before}
        for name, reported, stored, place in rows:
            if name in known or name not in before:
                held[name] = known.get(name) or Held(None, reported, token=self._reveal(stored, place))
        crawler.hold(held)

    async def _persist(self, what: str, work: Callable[[], Awaitable[T]]) -> T:
        """The result of *work*, however long the database fails: messages of the crawler wait for it."""
        return await until_done(what, work, self._reactor, lambda: self._stopping)

    async def keep_only(self, crawler: Crawler, assignments: tuple[str, ...] | None, since: float) -> None:
        """Release all but *assignments* of *crawler*, which came back at *since* (reactor seconds).

        None: all that no report names in a grace. Jobs claimed or sent later can't be in the list, and stay.
        """
        if assignments is None:
            if crawler.held:
                self._release_after_grace()
            return
        kept = [name for name in crawler.held if name in assignments]
        await self._persist("Confirming what a crawler holds", lambda: self._leases.confirm(kept))
        lost = [name for name, held in crawler.held.items() if name not in assignments and held.sent_before(since)]
        await self.release(crawler, lost, Loss.WITHOUT_IT)

    async def release(self, crawler: Crawler, assignments: list[str], reason: Loss) -> None:
        """Release *assignments*, which *crawler* no longer holds."""
        if assignments:
            await crawler.held_lock.run(lambda: Deferred.fromCoroutine(self._release(crawler, assignments, reason)))
            self._on_room()

    async def _release(self, crawler: Crawler, assignments: list[str], reason: Loss) -> None:
        held = {name: crawler.held[name] for name in assignments if name in crawler.held}
        for name in held:  # before the release, whose notification would fence them
            crawler.drop(name)
        self._registry.ending.update(assignments)
        try:
            await self._persist("Releasing jobs", lambda: self._leases.release(assignments, reason))
        except Exception:
            crawler.hold({**held, **crawler.held})
            raise
        finally:
            self._registry.ending.difference_update(assignments)

    def _gone(self, crawler: Crawler, how: str) -> None:
        crawler.present = False
        self._bus.publish(CrawlerChanged(crawler.crawler_id, how))
        self.background(self._depart(crawler))

    async def _depart(self, crawler: Crawler) -> None:
        await self._writer.submit(_presence(crawler, present=False))
        self._release_after_grace()

    # -- periodic tasks

    def look_for_silence(self) -> None:
        """Mark crawlers absent after the heartbeat time-out, and close connections without a valid message."""
        now = self._reading_clock.tick(self._reactor.seconds())
        for crawler in self._registry:
            if any(link.held_back for link in crawler.links):  # it may have sent messages, unread
                crawler.last_seen = now
                continue
            silence = now - crawler.last_seen
            if crawler.present and silence > self._heartbeat_timeout:
                crawler.silent_since = now
                self._gone(crawler, "fell silent")
            elif crawler.silent_since is not None and now - crawler.silent_since > self._leases.grace:
                for link in list(crawler.links):
                    link.close("silent past the heartbeat time-out")
            elif not crawler.present and crawler.silent_since is None and silence > self._connection_timeout:
                for link in list(crawler.links):
                    if not link.spoken and now - link.awaited_since > self._connection_timeout:
                        link.close("no valid message within the connection time-out")

    async def renew(self) -> None:
        """Renew the leases of all present crawlers, and store their state in ``socket_connections``."""
        present = self._registry.present()
        try:
            await self._leases.renew([crawler.key for crawler in present])
        except DATABASE_ERRORS:
            self._healthy_since = None
            raise
        now = self._reactor.seconds()
        if self._healthy_since is None or now - self._renewed_at > self._leases.lease:
            self._healthy_since = now  # a late renewal: other nodes may have been late as well
        self._renewed_at = now
        for crawler in present:
            if not crawler.present:  # it left during the renewal, which may have been stored last
                self.background(self._depart(crawler))
        await self._correct(present)
        await self._leases.show([self._state(link) for link in self._registry.links()])

    async def release_lost(self) -> None:
        """Release what crawlers have lost; what crawlers of other nodes have, only if :meth:`_may_judge`."""
        if await self._leases.release_lost(self._may_judge()):
            self._on_room()

    async def time_out(self) -> None:
        """End attempts whose crawlers report nothing for too long, or were refused a token.

        During an outage of the database no report is stored: time-outs wait until :meth:`_may_judge`.
        """
        ended = await self._leases.settle_refused()
        if self._may_judge():
            ended += await self._leases.time_out()
        if ended:
            self._on_room()

    async def fence_pauses(self) -> None:
        """Take jobs that are to be paused from crawlers that do not give them back."""
        if await self._leases.fence_pauses():
            self._on_room()

    def database_failed(self) -> None:
        """The database was unavailable: no node could renew leases."""
        self._healthy_since = None

    def stop(self) -> None:
        """Stop the timers. Assignments keep their leases: crawlers may come back to another node."""
        self._stopping = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def leave(self) -> None:
        """Store when crawlers were last heard, and end the node's lease."""
        await self._leases.show([self._state(link) for link in self._registry.links()])
        await self._leases.leave()

    def background(self, coroutine: Any) -> None:
        """Run *coroutine*; log its failure."""
        d = Deferred.fromCoroutine(coroutine)
        d.addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        """An outage, or a pool closed by a stopping node, is no error: the next round repeats the work."""
        if is_outage(failure.value):
            self.log.debug("Presence is updated in the next round: {error}", error=failure.value)
        else:
            self.log.failure("Updating presence failed", failure)

    def _may_judge(self) -> bool:
        """Whether renewals have worked for a whole lease, so that others' expired leases mean lost crawlers."""
        since = self._healthy_since
        return since is not None and self._reactor.seconds() - since >= self._leases.lease

    async def _correct(self, crawlers: list[Crawler]) -> None:
        """Fence cached assignments that were ended without this node, e.g. by another one."""
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
        if not active:  # signs of life since the last renewal are not stored yet
            self._reading_clock.tick(
                self._reactor.seconds()
            )  # so that the last one is not stored as later than it was
            state = self._state(link)
            seen = attrs.evolve(seen, silent=state.silent, system_status=state.system_status, metadata=state.metadata)
        d = self._writer.submit(seen)
        d.addErrback(lambda failure: self.log.failure("Storing the state of a connection failed", failure))

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
        crawler.commands,
        confirm_within,
        crawler.version,
    )
