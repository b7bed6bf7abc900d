"""What is claimed with each batch of reports: the writer's :class:`~copilot_socket.store.claiming.Claimant`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from copilot_socket.core.replies import JobResponse
from copilot_socket.core.scheduling import MAX_PLANNED, Request, Scheduler
from copilot_socket.handlers.crawlers import Held, Registry
from copilot_socket.handlers.dispatch.delivery import Delivery
from copilot_socket.handlers.dispatch.requests import PendingRequest, Requests
from copilot_socket.store.claiming import Endings
from copilot_socket.store.turns import NO_PLAN, NOTHING_CLAIMED, Claim, Claimed, Plan, Settled
from copilot_socket.store.writer import Writer

AGAIN = 0.05
"""Seconds before the next claim for a crawler whose row was locked, or that has no room by the database; and for an
account of which others had locked all jobs that were looked at."""
PATIENCE = 0.25
"""Seconds that a request for which there is work and room may wait for its answer, while others are faster."""


class Planner:
    """Plans claims for *requests*; the database is authoritative for room, memory is a cache."""

    def __init__(
        self,
        registry: Registry,
        requests: Requests,
        scheduler: Scheduler,
        delivery: Delivery,
        writer: Writer,
        reactor: IReactorTime,
    ) -> None:
        self._registry = registry
        self._requests = requests
        self._scheduler = scheduler
        self._delivery = delivery
        self._writer = writer
        self._reactor = reactor
        self.in_flight: frozenset[str] = frozenset()
        """The keys of crawlers for which something is being claimed."""
        self.in_doubt: set[str] = set()
        """The keys of crawlers for which something may have been claimed: the commit's outcome is unknown."""
        self._served: dict[str, PendingRequest] = {}
        """Requests that are about to be answered with jobs."""
        self._held_up: set[str] = set()
        """The keys of crawlers that are not to be had for a moment."""
        self._aside: list[tuple[str, str]] = []
        """Lanes of which others have the jobs locked."""
        self._timer: IDelayedCall | None = None
        self._watching: list[set[str]] = []
        self._stopped = False

    def stop(self) -> None:
        """Claim no more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def eligible(self, request: PendingRequest, ended: int = 0) -> int:
        """How many jobs *request* may be given now, where *ended* of its crawler's are ending."""
        crawler = request.crawler
        if not crawler.present or crawler.arriving or crawler.key in self.in_doubt or crawler.key in self._held_up:
            return 0
        if crawler.adopting:
            return 0  # the database counts what it takes over only afterwards
        room = crawler.room + ended
        if request.takes_over and not crawler.fenced:
            room = max(room, 1)  # another node may have heard of ends; the database knows
        return max(0, min(request.limit, room))

    def put(self, request: PendingRequest) -> None:
        """*request* takes the place of its crawler's earlier one, and is tried at once."""
        self._held_up.discard(request.crawler.key)
        self._requests.put(request)
        self._writer.wake()

    def plan(self, endings: Endings) -> Plan:
        """What to claim for those who wait, with a batch that holds *endings*."""
        if self._stopped:
            return NO_PLAN
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
        candidates = [each.crawler for each in self._requests.taking_over]
        plan = Plan(
            self._scheduler.plan(wanted) if wanted else (),
            frozenset(
                crawler.key
                for crawler in candidates
                if crawler.present and not crawler.arriving and crawler.key not in self._held_up
            ),
        )
        self.in_flight = plan.crawlers
        return plan

    def book(self, plan: Plan, claim: Claim, endings: Endings) -> None:
        """Note what is committed, before the next plan is made."""
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
        if (self._held_up or self._aside) and self._timer is None and not self._stopped:
            self._timer = self._reactor.callLater(AGAIN, self._look_again)

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
        """Send what was claimed, and say where there was nothing."""
        for key, jobs in _by_crawler(claim.jobs).items():
            request = self._served.pop(key, None)
            if not self._delivery.deliver(request, jobs) and request is not None and self._requests.get(key) is None:
                self._requests.put(request)  # they wait for a token: the request is answered, and waits
        for key in plan.crawlers:
            request = self._requests.get(key)
            if request is None or request.answered:
                continue
            may_get = self._scheduler.has_work(request.commands) and request.crawler.room > 0
            if not may_get or self._reactor.seconds() - request.since > PATIENCE:
                request.answered = True
                request.link.push(JobResponse(jobs=()))
        if plan.allotments or claim.taken_over:
            self._writer.wake()  # a shortfall is planned anew, and who is left over comes next

    @contextmanager
    def watch(self) -> Iterator[set[str]]:
        """The assignments that are booked within the context."""
        booked: set[str] = set()
        self._watching.append(booked)
        try:
            yield booked
        finally:
            self._watching.remove(booked)

    def unknown(self, plan: Plan) -> None:
        """Whether anything came of *plan* is not known."""
        self.in_doubt |= plan.crawlers

    def _ending(self, key: str, endings: Endings) -> int:
        ending = endings.get(key)
        if not ending:
            return 0
        held = self._requests.get(key).crawler.held  # type: ignore[union-attr]
        return sum(name in held and not held[name].over for name in ending)

    def _settle(self, settled: Settled) -> None:
        """An account whose jobs others had locked is left aside for a moment, so that others' are served."""
        allotment = settled.allotment
        self._scheduler.settle(allotment, tried=settled.tried, exhausted=settled.exhausted, beaten=settled.beaten)
        if settled.beaten:
            self._aside += [(allotment.account, command) for command in allotment.commands]

    def _look_again(self) -> None:
        self._timer = None
        self._held_up.clear()
        for account, command in self._aside:
            self._scheduler.add(account, command)
        self._aside.clear()
        self._writer.wake()


def _by_crawler(jobs: Sequence[Claimed]) -> dict[str, list[Claimed]]:
    theirs: dict[str, list[Claimed]] = {}
    for job in jobs:
        theirs.setdefault(job.crawler, []).append(job)
    return theirs
