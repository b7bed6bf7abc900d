"""Simulated crawlers with as little CPU as possible, since they share the cores with what is measured."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import attrs

from benchmarks import wire

with contextlib.suppress(ImportError):  # saves a third of the driver's CPU if installed
    import uvloop

T = TypeVar("T")
_PATIENCE = 120.0
_QUIET = 0.05  # seconds without an event after which the fleet counts as idle


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop, or on asyncio's loop if that is missing."""
    factory = uvloop.new_event_loop if "uvloop" in globals() else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


@attrs.define
class Fleet:
    """The crawlers of one measurement, and what they received."""

    path: str
    jobs_each: int
    reports: wire.Reports = wire.LIFECYCLE
    heard: list[bytes] = attrs.field(factory=list)
    sent: int = 0
    completed: int = 0
    wanted: int = 0
    welcomed: int = 0
    crawlers: "list[Crawler]" = attrs.field(factory=list)
    changed: asyncio.Event = attrs.field(factory=asyncio.Event)
    failure: str | None = None

    async def connect(self, count: int, prefix: str = "load") -> None:
        """Connect *count* crawlers and wait until all are welcomed."""
        loop = asyncio.get_running_loop()
        for number in range(count):
            await loop.create_unix_connection(partial(Crawler, self, f"{prefix}-{number}"), self.path)
        await self._until(lambda: self.welcomed == count)

    async def work(self, wanted: int) -> float:
        """Run lifecycles until *wanted* jobs are completed and acknowledged; returns the seconds it took.

        No crawler requests another job once *wanted* jobs are sent; the rest stays queued.
        """
        self.wanted = wanted
        begun = time.perf_counter()
        for crawler in self.crawlers:
            crawler.request()
        await self._until(lambda: self.completed >= wanted)
        return time.perf_counter() - begun

    async def close(self) -> None:
        """Wait until jobs sent for pending requests are completed, then disconnect."""
        settled = -1
        while not settled == self.sent == self.completed:
            settled = self.sent
            await asyncio.sleep(_QUIET)
        for crawler in self.crawlers:
            crawler.transport.close()

    def fail(self, why: str) -> None:
        """End the measurement."""
        self.failure = why
        self.changed.set()

    async def _until(self, reached: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                while not reached():
                    if self.failure:
                        raise wire.Broken(self.failure)
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError as stuck:
            raise wire.Broken(f"after {_PATIENCE:.0f} s {self.completed} of {self.wanted} jobs were done") from stuck


class Crawler(asyncio.Protocol):
    """Starts and completes every job on receipt, and requests the next in the same write."""

    transport: asyncio.Transport

    def __init__(self, fleet: Fleet, name: str) -> None:
        self._fleet = fleet
        self._hello = wire.message("hello", crawlerId=name, maxJobs=fleet.jobs_each, capabilities=["ack"])
        self._request = wire.request(fleet.jobs_each)
        self._rest = b""

    def request(self) -> None:
        """Send the first request; later ones follow automatically."""
        self.transport.write(self._request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.transport.write(self._hello)
        self._fleet.crawlers.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.transport.is_closing():
            self._fleet.fail(f"the server closed the connection: {exc}")

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
            fleet.sent += len(jobs)
            reports = fleet.reports.about(jobs)
            self.transport.write(reports if fleet.sent >= fleet.wanted else reports + self._request)
        completed = data.count(wire.COMPLETION_ACKED)
        if completed:
            fleet.completed += completed
            if fleet.completed >= fleet.wanted:
                fleet.changed.set()
        if wire.WELCOME in data:
            fleet.welcomed += 1
            fleet.changed.set()
        if wire.ERROR in data:
            fleet.fail(f"the server answered {data!r}")
