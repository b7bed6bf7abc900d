"""Plans the claim of each batch of reports: the writer's :class:`~copilot_socket.store.claiming.Claimant`."""

import itertools
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from copilot_socket.core.crawler_modes import Mode
from copilot_socket.core.replies import JobResponse
from copilot_socket.core.scheduling import MAX_PLANNED, Request, Scheduler
from copilot_socket.handlers.crawlers import Crawler, Held, Registry
from copilot_socket.handlers.dispatch.delivery import Delivery
from copilot_socket.handlers.dispatch.requests import PendingRequest, Requests
from copilot_socket.handlers.dispatch.restrictions import Restrictions
from copilot_socket.store.claiming import Endings
from copilot_socket.store.turns import NO_PLAN, NOTHING_CLAIMED, Claim, Claimed, Plan, Settled
from copilot_socket.store.writer import Writer

AGAIN = 0.05
"""Seconds before the next claim for a crawler whose row was locked or that has no room by the database, and from the
lanes of an account of which other transactions had locked all rows examined."""
FULL_AGAIN = 0.25
"""Seconds before the next claim from an account that has reached its limit, or whose host has, unless a job that
counts for it ends here before."""
LIMIT = "limit"
"""The reason for which accounts are parked that have reached their limit, or whose host has."""
PATIENCE = 0.25
"""Seconds before a request is answered as empty although there are work and room: other crawlers were faster."""


class Planner:
    """Plans claims for pending *requests*; the database is authoritative for room, memory is a cache."""

    def __init__(
        self,
        registry: Registry,
        requests: Requests,
        scheduler: Scheduler,
        delivery: Delivery,
        restrictions: Restrictions,
        writer: Writer,
        reactor: IReactorTime,
    ) -> None:
        self._registry = registry
        self._requests = requests
        self._scheduler = scheduler
        self._delivery = delivery
        self._restrictions = restrictions
        self._writer = writer
        self._reactor = reactor
        self.in_flight: frozenset[str] = frozenset()
        """Keys of the crawlers for which a claim is under way."""
        self.unknown_outcome: set[str] = set()
        """Keys of the crawlers for which jobs may have been claimed: the commit's outcome is unknown."""
        self._served: dict[str, PendingRequest] = {}
        """Requests that the claimed jobs are to answer, by crawler's key."""
        self._held_up: set[str] = set()
        """Keys of the crawlers that no claim is planned for until :data:`AGAIN` has passed."""
        self._aside: list[tuple[str, str]] = []
        """Lanes whose jobs are locked, to be added again after :data:`AGAIN`."""
        self.origins: dict[str, str] = {}
        """Account → origin, as far as it was read with lanes."""
        self._full: dict[str, tuple[float, str]] = {}
        """Account → when a claim is planned again, in reactor seconds, and whether its own limit or its host's is
        reached."""
        self._timer: IDelayedCall | None = None
        self._answering: IDelayedCall | None = None
        """When requests that nothing else has answered are."""
        self._watching: list[set[str]] = []
        self._stopped = False

    def stop(self) -> None:
        """Claim no more."""
        self._stopped = True
        for timer in (self._timer, self._answering):
            if timer is not None:
                timer.cancel()
        self._timer = self._answering = None

    def eligible(self, request: PendingRequest, ended: int = 0) -> int:
        """The number of jobs that *request* may be given now, if *ended* of its crawler's end with this batch."""
        crawler = request.crawler
        if not self._available(crawler) or crawler.key in self.unknown_outcome:
            return 0
        if crawler.adopting:
            return 0  # until these reports are stored, the database does not count their assignments
        room = crawler.room + ended
        if request.takes_over and not crawler.fenced:
            room = max(room, 1)  # ends may have been reported to another node: the database decides
        return max(0, min(request.limit, room))

    def _available(self, crawler: Crawler) -> bool:
        return (
            crawler.present
            and crawler.mode is Mode.SERVING
            and not crawler.arriving
            and crawler.key not in self._held_up
        )

    def put(self, request: PendingRequest) -> None:
        """Replace the crawler's pending request with *request*, and have a claim planned."""
        self._held_up.discard(request.crawler.key)
        self._requests.put(request)
        if self._answering is None and not request.answered and not self._stopped:
            self._answering = self._reactor.callLater(PATIENCE, self._answer_overdue)
        self._writer.wake()

    def plan(self, endings: Endings) -> Plan:
        """What to claim for pending requests, beside a batch that contains *endings*."""
        if self._stopped or not self._restrictions.may_send:
            return NO_PLAN
        if endings and self._full:  # else the accounts whose jobs end now would always be first
            self._not_full(self._waiting(sum(map(len, endings.values()))))
        wanted: list[Request] = []
        for commands, group in self._requests.groups.items():
            if not self._scheduler.has_work(commands):
                continue
            left = MAX_PLANNED
            for key, request in group.items():
                number = self.eligible(request, self._ending(key, endings))
                if number > 0:
                    wanted.append(Request(key, commands, number))
                    left -= number
                    if left <= 0:
                        break
        candidates = [request.crawler for request in self._requests.taking_over]
        taking_over = frozenset(crawler.key for crawler in candidates if self._available(crawler))
        allotments = self._scheduler.plan(wanted) if wanted else ()
        accounts = {each.account: self.origins.get(each.account) for each in allotments}
        plan = Plan(allotments, taking_over, self._restrictions.caps.locks(accounts))
        self.in_flight = plan.crawlers
        return plan

    def book(self, plan: Plan, claim: Claim, endings: Endings) -> None:
        """Record the committed *claim* of *plan*, and *endings*, before the next plan is made."""
        self._book_endings(endings)
        if not plan:
            return
        self.in_flight = frozenset()
        for settled in claim.settled:
            self._settle(settled)
        if claim is NOTHING_CLAIMED:
            for allotment in plan.allotments:
                self._scheduler.settle(allotment, tried=False, exhausted=False)
            return
        for key in plan.taking_over - claim.unavailable:
            self._requests.taken_over(key)
        for account, weight in claim.weights.items():
            self._scheduler.weigh(account, weight)
        for job in claim.jobs:
            self._book_job(job)
        self._held_up |= claim.unavailable - claim.taken_over
        self._held_up |= claim.full.intersection(key for each in plan.allotments for key in each.crawlers)
        self._look_again_later()

    def _book_endings(self, endings: Endings) -> None:
        for key, assignments in endings.items():
            crawler = self._registry.get(key)
            if crawler is not None:
                for assignment in assignments:
                    crawler.over(assignment)

    def _book_job(self, job: Claimed) -> None:
        for booked in self._watching:
            booked.add(job.assignment)
        crawler = self._registry.get(job.crawler)
        if crawler is not None:
            crawler.held[job.assignment] = Held(None, reported=False, waits=True)
        request = self._requests.get(job.crawler)
        if request is not None:
            self._served[job.crawler] = request
            self._requests.drop(job.crawler)

    def deliver(self, plan: Plan, claim: Claim) -> None:
        """Send the claimed jobs, and an empty response to requests that got none."""
        for key, jobs in _by_crawler(claim.jobs).items():
            request = self._served.pop(key, None)
            if not self._delivery.deliver(request, jobs) and request is not None and self._requests.get(key) is None:
                self._requests.put(request)  # its jobs wait for tokens: the request stays pending
        self._answer(plan.crawlers)
        if plan.allotments or claim.taken_over:
            self._writer.wake()  # plan again for a shortfall, and for requests not served yet

    def _answer(self, planned: Collection[str] = ()) -> None:
        """Answer requests without jobs: those *planned* (crawlers' keys) that can't get any now, and overdue ones."""
        now = self._reactor.seconds()
        for request in self._requests.unanswered:
            may_get = self._scheduler.has_work(request.commands) and request.crawler.room > 0
            if now - request.since > PATIENCE or (not may_get and request.crawler.key in planned):
                self._requests.answered(request)
                request.link.push(JobResponse(jobs=()))
        if self._requests.unanswered and self._answering is None and not self._stopped:
            self._answering = self._reactor.callLater(PATIENCE, self._answer_overdue)

    def _answer_overdue(self) -> None:
        self._answering = None
        self._answer()

    @contextmanager
    def watch(self) -> Iterator[set[str]]:
        """A context manager: the set of assignments booked within the context."""
        booked: set[str] = set()
        self._watching.append(booked)
        try:
            yield booked
        finally:
            self._watching = [each for each in self._watching if each is not booked]

    def outcome_unknown(self, plan: Plan) -> None:
        """The claim of *plan* has an unknown outcome."""
        self.unknown_outcome |= plan.crawlers

    def _ending(self, key: str, endings: Endings) -> int:
        ending = endings.get(key)
        if not ending:
            return 0
        held = self._requests.get(key).crawler.held  # type: ignore[union-attr]
        return sum(name in held and not held[name].over for name in ending)

    def _settle(self, settled: Settled) -> None:
        """Set the lanes of an account aside whose jobs are locked, so that other accounts are served."""
        allotment = settled.allotment
        self._scheduler.settle(allotment, tried=settled.tried, exhausted=settled.exhausted, beaten=settled.beaten)
        if settled.beaten:
            self._aside += [(allotment.account, command) for command in allotment.commands]
        if settled.kept_by is not None:
            self._full.pop(allotment.account, None)  # the longest wait comes first
            self._full[allotment.account] = self._reactor.seconds() + FULL_AGAIN, settled.kept_by
            self._scheduler.park(allotment.account, LIMIT)

    def room_at(self, accounts: Sequence[str]) -> None:
        """As many jobs of *accounts* have ended: their limits, and those of their hosts, have room for as many."""
        if self._full:
            ended = set(accounts)
            hosts = {self.origins.get(account) for account in ended}
            self._not_full([name for name in self._full if name in ended] + self._waiting(len(accounts), hosts))

    def _waiting(self, count: int, hosts: Collection[str | None] = ()) -> list[str]:
        """The *count* accounts that have waited longest for room at their hosts: *hosts*, or any."""
        anywhere = not hosts or None in hosts
        waiting = (
            name
            for name, (_, whose) in self._full.items()
            if whose == "host" and (anywhere or self.origins.get(name) in hosts)
        )
        return list(itertools.islice(waiting, count))

    def _not_full(self, accounts: Sequence[str]) -> None:
        for account in reversed(dict.fromkeys(accounts)):  # each enters at the head
            del self._full[account]
            self._scheduler.unpark(account, LIMIT)
        if accounts:
            self._writer.wake()

    def _look_again_later(self) -> None:
        waiting = self._held_up or self._aside or self._full
        if waiting and self._timer is None and not self._stopped:
            self._timer = self._reactor.callLater(AGAIN, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        now = self._reactor.seconds()
        self._not_full([account for account, (due, _) in self._full.items() if due <= now])
        if self._held_up or self._aside:
            self._held_up.clear()
            for account, command in self._aside:
                self._scheduler.add(account, command)
            self._aside.clear()
            self._writer.wake()
        self._look_again_later()


def _by_crawler(jobs: Sequence[Claimed]) -> dict[str, list[Claimed]]:
    theirs: dict[str, list[Claimed]] = {}
    for job in jobs:
        theirs.setdefault(job.crawler, []).append(job)
    return theirs
