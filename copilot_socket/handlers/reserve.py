"""Jobs that are the node's: claimed a little ahead of the requests that they are for."""

from collections import deque
from collections.abc import Callable, Sequence

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from copilot_socket.core.folding import Verdict
from copilot_socket.core.reports import Given, Report
from copilot_socket.handlers.crawlers import Crawler
from copilot_socket.store.turns import Claimed
from copilot_socket.store.writer import Unstorable, Writer

PATIENCE = 0.1
"""Seconds that a job waits for somebody to ask; then it goes back."""
HESITATION = 0.02
"""Seconds that whose a job has become waits for the crawler's first report, which puts it down without a row more."""

_GIVEN = Given()


@attrs.define(eq=False)
class PutDown:
    """That *crawler* has *assignment*, since *since* in reactor seconds, is to be stored."""

    reserve: "Reserve"
    assignment: str
    crawler: Crawler
    since: float
    number: int
    """Of what is under way for the crawler."""

    def begin(self) -> None:
        """Send it to the database by itself."""
        self.reserve.writer.enqueue(Report(self.assignment, self.crawler.key, _GIVEN), self)

    def callback(self, verdict: Verdict) -> None:
        """See :class:`copilot_socket.store.writer.Outcome`."""
        self.reserve.forget(self.assignment)
        if verdict is not Verdict.STORED:  # it was cancelled at that moment
            self.crawler.drop(self.assignment)
        self.crawler.end(self.number)

    def errback(self, error: Unstorable) -> None:
        """See :class:`copilot_socket.store.writer.Outcome`."""
        self.callback(Verdict.UNKNOWN)


Kept = tuple[float, Claimed]
"""When a job came into the reserve, in reactor seconds, and the job."""


class Reserve:
    """What is kept, by the entity types of the crawlers it is for; and what it becomes is put down.

    ``on_unwanted`` is told of jobs that nobody asked for.
    """

    def __init__(self, writer: Writer, reactor: IReactorTime) -> None:
        self.writer = writer
        self._reactor = reactor
        self._kept: dict[tuple[str, ...], deque[Kept]] = {}
        self._known: set[str] = set()
        self._timer: IDelayedCall | None = None
        self._given: dict[str, PutDown] = {}
        """Handed out and not put down, by assignment, in that order."""
        self._given_timer: IDelayedCall | None = None
        self.on_unwanted: Callable[[Sequence[Claimed]], None] = lambda _jobs: None

    def __contains__(self, assignment: str) -> bool:
        """Whether *assignment* is known to be the node's, or about to be put down to a crawler or to go back."""
        return assignment in self._known

    def count(self, entity_types: tuple[str, ...]) -> int:
        """How many jobs are kept for crawlers that take *entity_types*."""
        return len(self._kept.get(entity_types, ()))

    def keep(self, entity_types: tuple[str, ...], jobs: Sequence[Claimed]) -> None:
        """Keep *jobs*, which were claimed for crawlers that take *entity_types*, until one asks."""
        if not jobs:
            return
        now = self._reactor.seconds()
        self._known.update([job.assignment for job in jobs])
        self._kept.setdefault(entity_types, deque()).extend([(now, job) for job in jobs])
        if self._timer is None:
            self._timer = self._reactor.callLater(PATIENCE, self._look)

    def take(self, entity_types: tuple[str, ...], most: int) -> list[Claimed]:
        """What has been kept longest for crawlers that take *entity_types*, up to *most* jobs."""
        kept = self._kept.get(entity_types)
        if not kept:
            return []
        return [kept.popleft()[1] for _ in range(min(most, len(kept)))]

    def drop(self, assignment: str) -> None:
        """The try is over: somebody has cancelled the job, perhaps."""
        if assignment not in self._known:
            return
        self.forget(assignment)
        for entity_types, kept in self._kept.items():
            self._kept[entity_types] = deque([each for each in kept if each[1].assignment != assignment])

    def give(self, job: Claimed, crawler: Crawler, now: float) -> None:
        """*job* is handed out to *crawler*, to whom it is put down with the first word of the job, or alone."""
        self._given[job.assignment] = PutDown(self, job.assignment, crawler, now, crawler.begin())
        if self._given_timer is None:
            self._given_timer = self._reactor.callLater(HESITATION, self._look_at_given)

    def reported(self, assignment: str, crawler: Crawler) -> PutDown | None:
        """*crawler* says something of *assignment*: what that puts down as well, if it is the first thing it says."""
        given = self._given.get(assignment)
        return self._given.pop(assignment) if given is not None and given.crawler is crawler else None

    def put_down(self, crawler: Crawler) -> None:
        """Store now what *crawler* has been given: before it is stored that it came or went, which bears on that."""
        for given in [each for each in self._given.values() if each.crawler is crawler]:
            self._given.pop(given.assignment).begin()

    def forget(self, assignment: str) -> None:
        """*assignment* is the node's no more."""
        self._known.discard(assignment)

    def stop(self) -> None:
        """Give everything back, and put everything down."""
        for timer in (self._timer, self._given_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._given_timer = None
        self._give_back(lambda _since: True)
        given, self._given = self._given, {}
        for each in given.values():
            each.begin()

    def _look_at_given(self) -> None:
        self._given_timer = None
        now = self._reactor.seconds()
        while self._given:
            first = next(iter(self._given.values()))
            if now - first.since < HESITATION:
                self._given_timer = self._reactor.callLater(HESITATION + first.since - now, self._look_at_given)
                break
            self._given.pop(first.assignment).begin()

    def _look(self) -> None:
        self._timer = None
        now = self._reactor.seconds()
        self._give_back(lambda since: now - since >= PATIENCE)
        left = [kept[0][0] for kept in self._kept.values() if kept]
        if left:
            self._timer = self._reactor.callLater(max(0.0, min(left) + PATIENCE - now), self._look)

    def _give_back(self, due: Callable[[float], bool]) -> None:
        unwanted: list[Claimed] = []
        for kept in self._kept.values():
            while kept and due(kept[0][0]):
                unwanted.append(kept.popleft()[1])
        if unwanted:
            self.on_unwanted(unwanted)
