"""Each shell of the client, driven by one kind of scenario: a generator that yields what a job's methods return.

What is yielded is waited for, in the shell's way; its result or error is what the ``yield`` gives. :data:`STAY`
stands for work that goes on until it is interrupted.
"""

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from copilot_socket.client import Crawler, Hello
from copilot_socket.client import asyncio as for_asyncio
from copilot_socket.client import twisted as for_twisted
from copilot_socket.client.addresses import Address

Scenario = Callable[[Any], Generator[Any, Any, None]]
STAY = object()


def quickly(_failed: int) -> float:
    """Seconds before the next attempt to connect."""
    return 0.01


class SyncDriver:
    """The shell that blocks, in a thread."""

    def __init__(self, address: Address, scenario: Scenario, **hello: Any) -> None:
        self._scenario = scenario
        self._crawler = Crawler(address, Hello(**hello), backoff=quickly)
        self.ended = deferToThread(self._crawl)

    def _crawl(self) -> None:
        for job in self._crawler.jobs():
            with job:
                for step in self._scenario(job):
                    while step is STAY:
                        job.check()
                        time.sleep(0.005)

    def stop(self) -> "Deferred[None]":
        """Stop the crawler."""
        return deferToThread(self._crawler.stop)


class AsyncioDriver:
    """The shell for asyncio, with a loop in a thread."""

    def __init__(self, address: Address, scenario: Scenario, **hello: Any) -> None:
        self._scenario = scenario
        self._loop = asyncio.new_event_loop()
        self._crawler: for_asyncio.Crawler | None = None
        self.ended = deferToThread(lambda: self._loop.run_until_complete(self._crawl(address, Hello(**hello))))
        self.ended.addBoth(self._close)

    def _close(self, result: Any) -> Any:
        self._loop.close()
        return result

    async def _crawl(self, address: Address, hello: Hello) -> None:
        async with for_asyncio.Crawler(address, hello, backoff=quickly) as self._crawler:
            async for job in self._crawler.jobs():
                async with job:
                    await self._drive(self._scenario(job))

    @staticmethod
    async def _drive(steps: Generator[Any, Any, None]) -> None:
        with suppress(StopIteration):
            step = next(steps)
            while True:
                try:
                    result = await (asyncio.Event().wait() if step is STAY else step)
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)

    def stop(self) -> "Deferred[None]":
        """Stop the crawler."""
        assert self._crawler is not None
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._crawler.stop_soon)
        done: Deferred[None] = Deferred()
        self.ended.addBoth(lambda _: done.callback(None))
        return done


class TwistedDriver:
    """The shell for Twisted, in trial's reactor."""

    def __init__(self, address: Address, scenario: Scenario, **hello: Any) -> None:
        self._scenario = scenario
        self._crawler = for_twisted.Crawler.at(address, self._handle, Hello(**hello), reactor, backoff=quickly)
        self._crawler.startService()
        self.ended = self._crawler.finished

    async def _handle(self, job: Any) -> None:
        steps = self._scenario(job)
        with suppress(StopIteration):
            step = next(steps)
            while True:
                try:
                    result = await (Deferred() if step is STAY else step)
                except Exception as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)

    def stop(self) -> "Deferred[None]":
        """Stop the crawler."""
        return self._crawler.stopService()
