"""Crawlers that do nothing but talk: as light as Python allows, for they share the cores with what is measured."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import attrs

from benchmarks import wire

with contextlib.suppress(ImportError):  # costs the driver a third less where it is installed
    import uvloop

T = TypeVar("T")
_PATIENCE = 120.0
_QUIET = 0.05  # seconds in which nothing happens before we believe that nothing will


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the lightest event loop there is."""
    factory = uvloop.new_event_loop if "uvloop" in globals() else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


@attrs.define
class Fleet:
    """The crawlers of one measurement, and what they heard."""

    path: str
    jobs_each: int
    reports: wire.Reports = wire.LIFECYCLE
    heard: list[bytes] = attrs.field(factory=list)
    handed_out: int = 0
    completed: int = 0
    wanted: int = 0
    welcomed: int = 0
    crawlers: "list[Crawler]" = attrs.field(factory=list)
    news: asyncio.Event = attrs.field(factory=asyncio.Event)
    failure: str | None = None

    async def connect(self, count: int, prefix: str = "load") -> None:
        """*count* crawlers that have said hello and were welcomed."""
        loop = asyncio.get_running_loop()
        for number in range(count):
            await loop.create_unix_connection(partial(Crawler, self, f"{prefix}-{number}"), self.path)
        await self._until(lambda: self.welcomed == count)

    async def work(self, wanted: int) -> float:
        """Request, started, completed, acknowledged, until *wanted* jobs are done; seconds it took.

        Nobody asks once so many are handed out: whoever comes next finds the rest of the queue.
        """
        self.wanted = wanted
        begun = time.perf_counter()
        for crawler in self.crawlers:
            crawler.ask()
        await self._until(lambda: self.completed >= wanted)
        return time.perf_counter() - begun

    async def close(self) -> None:
        """Ask no more, complete what came for requests that stood, and hang up."""
        settled = -1
        while not settled == self.handed_out == self.completed:
            settled = self.handed_out
            await asyncio.sleep(_QUIET)
        for crawler in self.crawlers:
            crawler.transport.close()

    def fail(self, why: str) -> None:
        """End the measurement."""
        self.failure = why
        self.news.set()

    async def _until(self, reached: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                while not reached():
                    if self.failure:
                        raise wire.Broken(self.failure)
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError as stuck:
            raise wire.Broken(f"after {_PATIENCE:.0f} s {self.completed} of {self.wanted} jobs were done") from stuck


class Crawler(asyncio.Protocol):
    """Starts and completes every job as soon as it is given, and asks again in the same write."""

    transport: asyncio.Transport

    def __init__(self, fleet: Fleet, name: str) -> None:
        self._fleet = fleet
        self._hello = wire.message("hello", crawlerId=name, maxJobs=fleet.jobs_each, capabilities=["ack"])
        self._request = wire.request(fleet.jobs_each)
        self._rest = b""

    def ask(self) -> None:
        """The first request; later ones follow by themselves."""
        self.transport.write(self._request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.transport.write(self._hello)
        self._fleet.crawlers.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.transport.is_closing():
            self._fleet.fail(f"the server hung up: {exc}")

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        whole = data.rfind(b"\n") + 1
        self._rest = data[whole:]
        data = data[:whole]
        fleet = self._fleet
        fleet.heard.append(data)
        jobs = wire.JOB_ID.findall(data)
        if jobs:
            fleet.handed_out += len(jobs)
            reports = fleet.reports.about(jobs)
            self.transport.write(reports if fleet.handed_out >= fleet.wanted else reports + self._request)
        completed = data.count(wire.COMPLETION_ACKED)
        if completed:
            fleet.completed += completed
            if fleet.completed >= fleet.wanted:
                fleet.news.set()
        if wire.WELCOME in data:
            fleet.welcomed += 1
            fleet.news.set()
        if wire.ERROR in data:
            fleet.fail(f"the server answered {data!r}")
