"""Jobs claimed a little ahead: for crawlers that have just ended theirs and, by what they did before, ask at once."""

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from copilot_socket.handlers.crawlers import Crawler
from copilot_socket.store.turns import Claimed

PATIENCE = 0.1
"""Seconds that a job waits for its crawler to ask; then it goes back, and no more is claimed ahead for it."""


@attrs.define(eq=False)
class _Kept:
    crawler: Crawler
    since: float
    jobs: list[Claimed] = attrs.field(factory=list)


class Reserve:
    """What is kept for whom. *give_back* takes what nobody asked for."""

    def __init__(self, reactor: IReactorTime, give_back: Callable[[Sequence[Claimed]], None]) -> None:
        self._reactor = reactor
        self._give_back = give_back
        self._kept: dict[str, _Kept] = {}
        self._timer: IDelayedCall | None = None

    def keep(self, crawler: Crawler, jobs: Sequence[Claimed]) -> None:
        """Keep *jobs*, which take up room, until *crawler* asks."""
        kept = self._kept.setdefault(crawler.key, _Kept(crawler, self._reactor.seconds()))
        kept.jobs += jobs
        kept.crawler.reserved += len(jobs)
        if self._timer is None:
            self._timer = self._reactor.callLater(PATIENCE, self._look)

    def take(self, crawler: Crawler, most: int | None = None) -> list[Claimed]:
        """What is kept for *crawler*, up to *most* jobs."""
        kept = self._kept.get(crawler.key)
        if kept is None:
            return []
        taken, kept.jobs = (kept.jobs, []) if most is None else (kept.jobs[:most], kept.jobs[most:])
        kept.crawler.reserved -= len(taken)
        if not kept.jobs:
            del self._kept[crawler.key]
        return taken

    def drop(self, crawler: Crawler) -> None:
        """*crawler* will not ask."""
        jobs = self.take(crawler)
        if jobs:
            self._give_back(jobs)

    def stop(self) -> None:
        """Give everything back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for kept in list(self._kept.values()):
            self.drop(kept.crawler)

    def _look(self) -> None:
        self._timer = None
        now = self._reactor.seconds()
        for kept in list(self._kept.values()):
            if now - kept.since >= PATIENCE:
                kept.crawler.prompt = False
                self.drop(kept.crawler)
        if self._kept:
            oldest = min(kept.since for kept in self._kept.values())
            self._timer = self._reactor.callLater(max(0.0, oldest + PATIENCE - now), self._look)
