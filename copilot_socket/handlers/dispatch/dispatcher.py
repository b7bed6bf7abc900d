"""The dispatcher: matches pending requests with lanes that have work.

Requests wait in :mod:`.requests`, lanes in :mod:`copilot_socket.core.scheduling`. Claims are planned by
:mod:`.planner`, executed by the writer, in the transaction that stores reports if there are any, and sent by
:mod:`.delivery`.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from copilot_socket.core.crawler_modes import Mode
from copilot_socket.core.jobs import Status
from copilot_socket.core.replies import JobCancel, JobPause, Shutdown
from copilot_socket.core.retry import DATABASE_RETRY
from copilot_socket.core.scheduling import Scheduler
from copilot_socket.event_bus import DiscoveryStored, EventBus, JobChanged, JobsReported, PauseChanged
from copilot_socket.handlers.crawlers import Crawler, Held, Link, Registry
from copilot_socket.handlers.dispatch.closed import Closed
from copilot_socket.handlers.dispatch.delivery import Delivery
from copilot_socket.handlers.dispatch.holds import HostHolds
from copilot_socket.handlers.dispatch.parking import Parking
from copilot_socket.handlers.dispatch.planner import Planner
from copilot_socket.handlers.dispatch.requests import PendingRequest, Requests, commands_of
from copilot_socket.handlers.dispatch.restrictions import Restrictions
from copilot_socket.handlers.dispatch.schedule import ignore_outage
from copilot_socket.handlers.tokens import Tokens
from copilot_socket.store.dispatch_reads import LANES, DispatchReads
from copilot_socket.store.faults import DATABASE_ERRORS
from copilot_socket.store.hosts import Hosts
from copilot_socket.store.restrictions import RestrictionStore
from copilot_socket.store.transitions import Transitions
from copilot_socket.store.writer import Writer

EXIT_WITHIN = 30.0
"""Seconds that a crawler is given which is asked to exit."""


class Dispatcher:
    """The facade of dispatch."""

    log = Logger()

    def __init__(
        self,
        registry: Registry,
        writer: Writer,
        reads: DispatchReads,
        tokens: Tokens,
        transitions: Transitions,
        hosts: Hosts,
        restrictions: RestrictionStore,
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
        closed = Closed(hosts, self._scheduler, reactor, self.wake)
        self.holds = HostHolds(hosts, closed, self._scheduler, self._requests, reactor, bus, self.wake)
        self.restrictions = Restrictions(restrictions, self._scheduler, closed, writer, reactor, bus, self.wake)
        self._delivery = Delivery(
            tokens,
            transitions,
            registry,
            self._requests,
            self._parking,
            self.restrictions,
            reactor,
            bus,
            writer.wake,
        )
        self.planner = Planner(
            registry, self._requests, self._scheduler, self._delivery, self.restrictions, writer, reactor
        )
        writer.claim_for(self.planner)
        self._looking: Deferred[None] | None = None
        self._stopped = False

    @property
    def pending_requests(self) -> int:
        """The number of pending requests."""
        return len(self._requests)

    # -- requests

    def request(self, link: Link, limit: int) -> None:
        """Let the crawler behind *link* wait for up to *limit* jobs; a later request replaces an earlier one."""
        link.crawler.request_link = link
        self.planner.put(PendingRequest(link.crawler, link, limit, self._reactor.seconds()))

    def next_job(self, link: Link, limit: int) -> None:
        """The plain crawler behind *link* has ended a job, an implicit request; it gets no empty response."""
        link.crawler.request_link = link
        earlier = self._requests.get(link.crawler.key)
        answered = earlier is None or earlier.answered
        self.planner.put(PendingRequest(link.crawler, link, limit, self._reactor.seconds(), answered))

    def drop_request(self, crawler: Crawler) -> None:
        """Drop the pending request of *crawler*, which a new one will replace."""
        self._requests.drop(crawler.key)

    def types_changed(self, crawler: Crawler) -> None:
        """*crawler* may accept other entity types than when it made its pending request."""
        request = self._requests.get(crawler.key)
        if request is not None and request.commands != commands_of(crawler):
            self._requests.drop(crawler.key)
            request.commands = commands_of(crawler)
            self.planner.put(request)

    def withdraw(self, link: Link) -> None:
        """Drop the pending request made over *link*, which has closed."""
        request = self._requests.get(link.crawler.key)
        if request is not None and request.link is link:
            self._requests.drop(link.crawler.key)

    async def resend(self, link: Link) -> bool:
        """Send again the jobs sent before *link* opened and never reported on; return whether there were any."""
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
            and self.restrictions.holds_back(job) is None
        ]
        request = PendingRequest(crawler, link, len(missed))
        return bool(missed) and link in crawler.links and self._delivery.deliver(request, missed)

    # -- lanes

    def wake(self) -> None:
        """Have claims planned if requests are pending: there may be room or work."""
        if self._requests and not self._stopped:
            self._writer.wake()

    def work_came(self, lanes: Iterable[tuple[str, str]]) -> None:
        """There may be jobs in *lanes* (pairs of account and command)."""
        for account, command in lanes:
            self._scheduler.add(account, command)
        self.wake()

    @property
    def subscriptions(self) -> Mapping[type, Callable[[Any], None]]:
        """State events of this node; notifications of the same changes arrive later."""
        return {
            JobChanged: self._job_changed,
            JobsReported: self._jobs_reported,
            DiscoveryStored: lambda stored: self.work_came(stored.lanes),
            PauseChanged: lambda _changed: self.restrictions.changed(),
        }

    def _jobs_reported(self, reported: JobsReported) -> None:
        if reported.outcome is not None:
            self.planner.room_at([account for _assignment, _crawler, account in reported.attempts])

    def _job_changed(self, changed: JobChanged) -> None:
        """Add the lane of a job that is queued again and due."""
        if changed.outcome is not None and changed.account is not None:
            self.planner.room_at([changed.account])
        if changed.status == Status.QUEUED and not changed.delay and changed.account and changed.command:
            self.work_came([(changed.account, changed.command)])

    @property
    def channels(self) -> Mapping[str, Callable[[str], None]]:
        """What handles the notifications of each channel."""
        return {
            "copilot_jobs": self._lanes_notified,
            "copilot_ended": self.over,
            "copilot_credentials": self._credential_notified,
            "copilot_pauses": self._pause_requested,
            "copilot_crawlers": self._crawler_notified,
            "copilot_restrictions": self.restrictions.changed,
        }

    def _lanes_notified(self, payload: str) -> None:
        """Lanes that have work, as JSON; one that names none means that there may be any."""
        try:
            lanes = [(str(account), str(command)) for account, command in json.loads(payload)]
        except (ValueError, TypeError):
            self.read_everything()
        else:
            self.work_came(lanes)

    def read_everything(self) -> None:
        """Notifications may have been missed."""
        d = Deferred.fromCoroutine(self.read_lanes())
        d.addErrback(ignore_outage)
        d.addErrback(lambda failure: self.log.failure("Reading lanes failed", failure))

    async def read_lanes(self) -> None:
        """Read all lanes that have work, in pages, and whose credentials do not work: notifications may be missed."""
        if len(self._registry):  # else crawlers may be reconnecting, and their rings stay
            self._scheduler.keep_rings([commands_of(crawler) for crawler in self._registry])
        self.restrictions.changed()
        changes = self._parking.changes
        invalid = await self._reads.invalid_accounts()
        if self._parking.changes == changes:  # else what was read may be older than a notification
            for account in self._parking.invalid | invalid:
                self._parking.credential(account, valid=account not in invalid)
        page, after = await self._reads.lanes(), ("", "")
        while page:
            for account, command, weight, origin in page:
                self._scheduler.add(account, command, weight)
                self.planner.origins[account] = origin
                after = account, command
            self.wake()
            page = await self._reads.lanes(after) if len(page) == LANES else []

    def _credential_notified(self, payload: str) -> None:
        """A notification: an account, and whether its credential works now, as JSON."""
        try:
            account, valid = json.loads(payload)
        except (ValueError, TypeError):
            return
        self._parking.credential(str(account), valid=bool(valid))

    # -- assignments

    def over(self, assignment: str) -> None:
        """The attempt was ended by the server or another node, not by a report here; its crawler is to stop."""
        crawler = self._registry.holder(assignment)
        if crawler is not None:
            sent = not crawler.held[assignment].waits
            crawler.fence(assignment)
            if sent:
                crawler.command(JobCancel(assignment, "the attempt has ended"))
            self.wake()

    def _crawler_notified(self, payload: str) -> None:
        """A crawler's identity and its new mode, or ``shutdown``, as JSON."""
        try:
            key, what = json.loads(payload)
        except (ValueError, TypeError):
            return
        crawler = self._registry.get(str(key))
        if crawler is None:
            return
        if what == "shutdown":
            for link in crawler.links:
                link.push(Shutdown("crawler", True, EXIT_WITHIN, "an operator asks you to exit"))
        elif what in set(Mode):
            crawler.mode = Mode(what)
            self.wake()

    def _pause_requested(self, assignment: str) -> None:
        """The job is to be paused: its crawler, if it is connected here, is asked to give it back."""
        crawler = self._registry.holder(assignment)
        if crawler is None:
            return
        if crawler.held[assignment].waits:  # it has not been sent yet, and is not going to be
            self._delivery.pause(assignment)
        else:
            crawler.command(JobPause(assignment, "the job is to be paused"))

    async def look_after(self) -> None:
        """Drop requests of crawlers that another node serves now, and settle claims with an unknown outcome."""
        requests = {request.crawler.key: request for request in self._requests if not request.takes_over}
        if requests:
            for key in await self._reads.not_ours(list(requests)):
                if self._requests.get(key) is requests[key]:
                    self._requests.drop(key)
        await self._read_back([crawler.key for crawler in self._registry.present()])

    def look_for_unknown(self) -> None:
        """Start to read back claims with an unknown outcome from the database, by crawler."""
        if self._looking is None and self.planner.unknown_outcome:
            self._looking = Deferred.fromCoroutine(self._settle_unknown())
            self._looking.addErrback(lambda failure: self.log.failure("Reading back claims failed", failure))

    async def stop(self) -> None:
        """Claim no more; return jobs that are claimed and not sent."""
        self._stopped = True
        self.planner.stop()
        self.restrictions.stop()
        self._parking.stop()
        await self._writer.drained()
        await self._delivery.stop()

    async def _settle_unknown(self) -> None:
        try:
            while self.planner.unknown_outcome and not self._stopped:
                keys = list(self.planner.unknown_outcome)
                try:
                    await self._read_back(keys)
                    self.planner.unknown_outcome.difference_update(keys)
                except DATABASE_ERRORS as error:
                    self.log.debug("Reading back claims failed; it is retried: {error}", error=error)
                    await deferLater(self._reactor, DATABASE_RETRY)
        finally:
            self._looking = None
        self.wake()

    async def _read_back(self, keys: list[str]) -> None:
        """Send jobs claimed for the crawlers with *keys* in commits whose outcome did not arrive."""
        if not keys:
            return
        known = {name for crawler in self._registry for name in crawler.held} | self._registry.ending
        with self.planner.watch() as booked:  # claimed, and perhaps ended, during the reads
            jobs = await self._reads.unreported(keys)
            others = await self._reads.not_ours(keys) if jobs else set()
        for job in jobs:
            crawler = self._registry.get(job.crawler)
            if (
                crawler is None
                or job.assignment in known
                or job.assignment in booked
                or job.crawler in others
                or job.crawler in self.planner.in_flight  # it may belong to the claim under way
            ):
                continue
            crawler.held[job.assignment] = Held(None, reported=False, waits=True)
            self._delivery.deliver(self._requests.get(job.crawler) or _last_request(crawler), [job])


def _last_request(crawler: Crawler) -> PendingRequest | None:
    """A substitute for the last request of *crawler*, if its connection is still open."""
    link = crawler.request_link
    return PendingRequest(crawler, link, 1, answered=True) if link is not None and link in crawler.links else None


def _missed(held: Held, link: Link) -> bool:
    """Whether it was sent before *link* was opened and never reported on."""
    return not held.reported and not held.waits and (held.sent_at or 0.0) < link.opened_at
