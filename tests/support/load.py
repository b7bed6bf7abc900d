"""Crawlers that work until they are stopped, and record which reports were acknowledged."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from tests.support.crawler import TestCrawler, Waited


class Load:
    """Each of *crawlers*, which have sent ``hello`` with ``ack``, does one lifecycle after another."""

    def __init__(self, crawlers: Sequence[TestCrawler], reports: int = 2) -> None:
        self.crawlers = list(crawlers)
        self.started: set[str] = set()
        """Assignments whose ``job_started`` was acknowledged."""
        self.completed: set[str] = set()
        """Assignments whose ``job_completed`` was acknowledged."""
        self.refused: list[dict[str, Any]] = []
        """Errors received instead of acks."""
        self._reports = reports
        self._running: list[Deferred[None]] = []

    def start(self) -> None:
        """Start all crawlers."""
        for crawler in self.crawlers:
            self.add(crawler)

    def add(self, crawler: TestCrawler) -> None:
        """Start a crawler, also one that is back."""
        if crawler not in self.crawlers:
            self.crawlers.append(crawler)
        d = Deferred.fromCoroutine(self._work(crawler))
        d.addErrback(lambda failure: failure.trap(Waited, CancelledError))
        self._running.append(d)

    def stop(self) -> None:
        """Stop all crawlers where they are."""
        for d in self._running:
            d.cancel()

    async def _work(self, crawler: TestCrawler) -> None:
        """Do lifecycles until the connection is closed."""
        while crawler.open:
            crawler.say("job_request", limit=1)
            job = (await crawler.job())["id"]
            await self.finish(crawler, job)

    async def finish(self, crawler: TestCrawler, job: str) -> None:
        """Do one lifecycle, each step acknowledged before the next."""
        if await self._told(crawler, crawler.say("job_started", job)):
            self.started.add(job)
        for number in range(self._reports):
            await self._told(crawler, crawler.progress(job, number + 1, resumeState={"currentPage": number + 1}))
        if await self._told(crawler, crawler.complete(job)):
            self.completed.add(job)

    async def _told(self, crawler: TestCrawler, ref: str) -> bool:
        answer = await crawler.answer(ref)
        if answer["type"] == "error":
            self.refused.append(answer)
        return bool(answer["type"] == "ack")
