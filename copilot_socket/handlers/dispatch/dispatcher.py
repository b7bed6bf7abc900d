"""Handing out work: a crawler that asks is given jobs as soon as there are some that it may have.

Requests wait (:mod:`.requests`), lanes have work (:mod:`copilot_socket.core.scheduling`). What is claimed for whom is
planned (:mod:`.planner`), claimed by the writer in the transaction that stores reports, where there are any, and sent
(:mod:`.delivery`).
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from copilot_socket.core.jobs import Status
from copilot_socket.core.scheduling import Scheduler
from copilot_socket.event_bus import DiscoveryStored, EventBus, JobChanged
from copilot_socket.handlers.crawlers import Crawler, Held, Link, Registry
from copilot_socket.handlers.dispatch.delivery import Delivery
from copilot_socket.handlers.dispatch.parking import Parking
from copilot_socket.handlers.dispatch.planner import Planner
from copilot_socket.handlers.dispatch.requests import PendingRequest, Requests, commands_of
from copilot_socket.handlers.dispatch.schedule import next_poll_looks_again
from copilot_socket.handlers.tokens import Tokens
from copilot_socket.store.dispatch_reads import LANES, DispatchReads
from copilot_socket.store.faults import DATABASE_ERRORS
from copilot_socket.store.transitions import Transitions
from copilot_socket.store.writer import Writer

RETRY = 0.2
"""Seconds before claims whose outcome is unknown are looked for again, while the database fails."""


class Dispatcher:
    """Serves requests for work."""

    log = Logger()

    def __init__(
        self,
        registry: Registry,
        writer: Writer,
        reads: DispatchReads,
        tokens: Tokens,
        transitions: Transitions,
        reactor: IReactorTime,
        bus: EventBus,
    ) -> None:
        self._registry = registry
        self._writer = writer
        self._reads = reads
        self._tokens = tokens
        self._reactor = reactor
        self._requests = Requests()
        self._scheduler = Scheduler()
        self._parking = Parking(self._scheduler, reactor, writer.wake)
        self._delivery = Delivery(tokens, transitions, self._requests, self._parking, reactor, bus, writer.wake)
        self.planner = Planner(registry, self._requests, self._scheduler, self._delivery, writer, reactor)
        writer.claim_for(self.planner)
        self._looking: Deferred[None] | None = None
        self._stopped = False

    @property
    def pending_requests(self) -> int:
        """How many crawlers wait for work."""
        return len(self._requests)

    # -- requests

    def request(self, link: Link, limit: int) -> None:
        """Let the crawler behind *link* wait for up to *limit* jobs; a later request replaces an earlier one."""
        link.crawler.asked_on = link
        self.planner.put(PendingRequest(link.crawler, link, limit, self._reactor.seconds()))

    def next_job(self, link: Link, limit: int) -> None:
        """The plain crawler behind *link* has told the end of a job, which asks for the next; no answer is owed."""
        link.crawler.asked_on = link
        earlier = self._requests.get(link.crawler.key)
        answered = earlier is None or earlier.answered
        self.planner.put(PendingRequest(link.crawler, link, limit, self._reactor.seconds(), answered))

    def drop_request(self, crawler: Crawler) -> None:
        """*crawler* asks anew: its earlier request is over."""
        self._requests.drop(crawler.key)

    def withdraw(self, link: Link) -> None:
        """The connection is over, and the request made over it."""
        request = self._requests.get(link.crawler.key)
        if request is not None and request.link is link:
            self._requests.drop(link.crawler.key)

    async def resend(self, link: Link) -> bool:
        """Answer with what the crawler was given before this connection and never reported on, if there is any."""
        crawler = link.crawler
        if not any(_missed(held, link) for held in crawler.held.values()):
            return False
        jobs = await self._reads.unreported([crawler.key])
        live = await self._tokens.handed(*(job.assignment for job in jobs))
        missed = [
            job
            for job in jobs
            if job.assignment in live
            and (held := crawler.held.get(job.assignment)) is not None
            and _missed(held, link)
        ]
        request = PendingRequest(crawler, link, len(missed))
        return bool(missed) and link in crawler.links and self._delivery.deliver(request, missed)

    # -- what there is to hand out

    def wake(self) -> None:
        """There may be room, or a request, or work; what comes together is served together."""
        if self._requests and not self._stopped:
            self._writer.wake()

    def work_came(self, lanes: Iterable[tuple[str, str]]) -> None:
        """There is work in these lanes."""
        for account, command in lanes:
            self._scheduler.add(account, command)
        self.wake()

    @property
    def subscriptions(self) -> Mapping[type, Callable[[Any], None]]:
        """For what this node itself does: notifications say the same, a moment later."""
        return {JobChanged: self._job_changed, DiscoveryStored: lambda stored: self.work_came(stored.lanes)}

    def _job_changed(self, changed: JobChanged) -> None:
        """A job may be queued again, and due."""
        if changed.status == Status.QUEUED and not changed.delay and changed.account and changed.command:
            self.work_came([(changed.account, changed.command)])

    def told(self, payload: str) -> None:
        """A notification names lanes that have work, as JSON; one that names none says that there may be any."""
        try:
            lanes = [(str(account), str(command)) for account, command in json.loads(payload)]
        except (ValueError, TypeError):
            d = Deferred.fromCoroutine(self.read_lanes())
            d.addErrback(next_poll_looks_again)
            d.addErrback(lambda failure: self.log.failure("Reading lanes failed", failure))
        else:
            self.work_came(lanes)

    async def read_lanes(self) -> None:
        """Read all lanes that have work, a page at a time: no notification is missed for ever."""
        if len(self._registry):  # else all of them may come back, and go on with their turns
            self._scheduler.keep_rings([commands_of(crawler) for crawler in self._registry])
        page, after = await self._reads.lanes(), ("", "")
        while page:
            for account, command, weight in page:
                self._scheduler.add(account, command, weight)
                after = account, command
            self.wake()
            page = await self._reads.lanes(after) if len(page) == LANES else []

    # -- assignments

    def over(self, assignment: str) -> None:
        """The attempt has ended, by no report of its crawler's."""
        if self._registry.ended(assignment) is not None:
            self.wake()

    async def look_after(self) -> None:
        """Forget the requests of crawlers that have since asked at another node, and find claims not heard of."""
        requests = {request.crawler.key: request for request in self._requests if not request.takes_over}
        if requests:
            for key in await self._reads.not_ours(list(requests)):
                if self._requests.get(key) is requests[key]:
                    self._requests.drop(key)
        await self._find_unheard([crawler.key for crawler in self._registry.present()])

    def look_for_unknown(self) -> None:
        """Claims whose outcome is unknown are read back from the database, by their owners."""
        if self._looking is None and self.planner.in_doubt:
            self._looking = Deferred.fromCoroutine(self._settle_unknown())
            self._looking.addErrback(lambda failure: self.log.failure("Looking for claims failed", failure))

    async def stop(self) -> None:
        """Claim no more; what is claimed and not sent goes back."""
        self._stopped = True
        self.planner.stop()
        self._parking.stop()
        await self._writer.drained()
        await self._delivery.stop()

    async def _settle_unknown(self) -> None:
        try:
            while self.planner.in_doubt and not self._stopped:
                keys = list(self.planner.in_doubt)
                try:
                    await self._find_unheard(keys)
                    self.planner.in_doubt.difference_update(keys)
                except DATABASE_ERRORS as error:
                    self.log.debug("Claims can't be read back yet: {error}", error=error)
                    await deferLater(self._reactor, RETRY)
        finally:
            self._looking = None
        self.wake()

    async def _find_unheard(self, keys: list[str]) -> None:
        """Send what was claimed for the crawlers with *keys*, by this node, without its hearing of the commit."""
        if not keys:
            return
        known = {name for crawler in self._registry for name in crawler.held}
        with self.planner.watch() as booked:  # what is claimed, and perhaps ended, meanwhile
            jobs = await self._reads.unreported(keys)
            others = await self._reads.not_ours(keys) if jobs else set()
        for job in jobs:
            crawler = self._registry.get(job.crawler)
            if (
                crawler is None
                or job.assignment in known
                or job.assignment in booked
                or job.crawler in others
                or job.crawler in self.planner.in_flight  # it may be of a claim that is being heard of
            ):
                continue
            crawler.held[job.assignment] = Held(None, reported=False, waits=True)
            self._delivery.deliver(self._requests.get(job.crawler) or _anew(crawler), [job])


def _anew(crawler: Crawler) -> PendingRequest | None:
    """In the place of a request, for what its crawler asked for before."""
    link = crawler.asked_on
    return PendingRequest(crawler, link, 1, answered=True) if link is not None and link in crawler.links else None


def _missed(held: Held, link: Link) -> bool:
    """Whether its crawler was sent it before *link* was opened, and has never reported on it."""
    return not held.reported and not held.waits and (held.sent_at or 0.0) < link.opened_at
