"""Whose a reserved job has become: stored with the first thing that its crawler reports of it, or alone."""

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from copilot_socket.core.folding import Verdict
from copilot_socket.core.reports import Given, Report
from copilot_socket.handlers.crawlers import Crawler
from copilot_socket.handlers.reserve import Reserve
from copilot_socket.store.writer import Unstorable, Writer

HESITATION = 0.02
"""Seconds that it waits for the crawler's first report, which puts it down without a row more."""

_GIVEN = Given()


@attrs.define(eq=False)
class PutDown:
    """That *crawler* has *assignment*, since *since* in reactor seconds, is to be stored."""

    writer: Writer
    reserve: Reserve
    assignment: str
    crawler: Crawler
    since: float
    number: int
    """Of what is under way for the crawler."""

    def alone(self) -> None:
        """Send it to the database by itself."""
        self.writer.enqueue(Report(self.assignment, self.crawler.key, _GIVEN), self)

    def callback(self, verdict: Verdict) -> None:
        """See :class:`copilot_socket.store.writer.Outcome`."""
        self.reserve.forget(self.assignment)
        if verdict is not Verdict.STORED:  # it was cancelled at that moment
            self.crawler.drop(self.assignment)
        self.crawler.end(self.number)

    def errback(self, error: Unstorable) -> None:
        """See :class:`copilot_socket.store.writer.Outcome`."""
        self.callback(Verdict.UNKNOWN)


class Ownership:
    """Knows what was handed out and is not put down."""

    def __init__(self, writer: Writer, reserve: Reserve, reactor: IReactorTime) -> None:
        self._writer = writer
        self._reserve = reserve
        self._reactor = reactor
        self._open: dict[str, PutDown] = {}
        """By assignment, in the order in which they were handed out."""
        self._timer: IDelayedCall | None = None

    def give(self, assignment: str, crawler: Crawler, now: float) -> None:
        """*assignment*, which was the node's, is handed out to *crawler*."""
        self._open[assignment] = PutDown(self._writer, self._reserve, assignment, crawler, now, crawler.begin())
        if self._timer is None:
            self._timer = self._reactor.callLater(HESITATION, self._look)

    def reported(self, assignment: str, crawler: Crawler) -> PutDown | None:
        """*crawler* says something of *assignment*: what that puts down as well, if it is the first thing it says."""
        given = self._open.get(assignment)
        return self._open.pop(assignment) if given is not None and given.crawler is crawler else None

    def put_down(self, crawler: Crawler) -> None:
        """Store now what *crawler* has been given: before it is stored that it came or went, which bears on that."""
        for given in [each for each in self._open.values() if each.crawler is crawler]:
            self._open.pop(given.assignment).alone()

    def stop(self) -> None:
        """Put everything down."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        given, self._open = self._open, {}
        for each in given.values():
            each.alone()

    def _look(self) -> None:
        self._timer = None
        now = self._reactor.seconds()
        while self._open:
            first = next(iter(self._open.values()))
            if now - first.since < HESITATION:
                self._timer = self._reactor.callLater(HESITATION + first.since - now, self._look)
                break
            self._open.pop(first.assignment).alone()
