"""The client for asyncio: jobs are iterated over.

    import asyncio
    from copilot_socket.client.asyncio import Crawler

    async def main() -> None:
        async with Crawler("/var/run/copilot-study/crawler.sock") as crawler:
            async for job in crawler.jobs():
                async with job:
                    await job.progress(20, resume_state={"currentPage": job.next_page})
                    await job.complete({job.entity_type: 20})

    asyncio.run(main())

A job's block is cancelled where it waits when the job is cancelled or paused, or the crawler stops.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from copilot_socket.client.addresses import TCP, TLS, Address
from copilot_socket.client.asyncio_connecting import Wire, open_connection
from copilot_socket.client.connection import backoff as default_backoff
from copilot_socket.client.hello import Hello
from copilot_socket.client.job import BaseJob, DiscoveredJob
from copilot_socket.client.problems import (
    JobFailure,
    JobGone,
    JobRelease,
    ReportRefused,
    TokenRefused,
    left_by,
    unexpected,
)
from copilot_socket.client.session import GIVE_BACK_WITHIN, Session
from copilot_socket.client.shell import Shell
from copilot_socket.client.sigterm import Sigterm

__all__ = [
    "TCP",
    "TLS",
    "Crawler",
    "DiscoveredJob",
    "Hello",
    "Job",
    "JobFailure",
    "JobGone",
    "JobRelease",
    "ReportRefused",
    "TokenRefused",
]

log = logging.getLogger("copilot_socket.client")


class Job(BaseJob["asyncio.Future[None]", "asyncio.Future[str]"]):
    """A job whose methods return futures, which are done when the server has stored what they report."""

    _task: "asyncio.Task[Any] | None" = None
    """Who runs its block."""
    _cancelling = 0
    """How often the task had been cancelled before."""
    _interrupts = 0

    def interrupt(self) -> None:
        """Cancel its block where it waits."""
        if self._task is not None:
            self._interrupts += 1
            self._task.cancel()

    async def __aenter__(self) -> "Job":
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        if self.cancelled or self.stopping is not None:
            self.interrupt()
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        """End the job by *error*. Errors of the job end here; others, such as a cancellation of the task, go on."""
        task, self._task = self._task, None
        assert task is not None
        for _ in range(self._interrupts):
            task.uncancel()
        if self._interrupts and task.cancelling() <= self._cancelling:
            if isinstance(error, asyncio.CancelledError):
                error = JobRelease(self.stopping or "shutdown")
            else:
                with suppress(asyncio.CancelledError):  # its block has not waited since
                    await asyncio.sleep(0)
        return await self._reporter.left(self, error)  # type: ignore[attr-defined, no-any-return]


class Crawler(Shell):
    """Crawls for the server at *address* until it is stopped, or the server requests an exit.

    As a context manager it stops when its block is left. In the main thread SIGTERM stops it, too, unless the program
    has a handler of its own for that.
    """

    def __init__(
        self,
        address: Address,
        hello: Hello | None = None,
        *,
        backoff: Callable[[int], float] = default_backoff,
        give_back_within: float = GIVE_BACK_WITHIN,
        read: "Callable[[Mapping[str, Any], Crawler], Any]" = Job.read,
    ) -> None:
        self._address = address
        super().__init__(Session(hello or Hello(), backoff=backoff, give_back_within=give_back_within))
        self._read = read
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = asyncio.Event()
        self._connecting: asyncio.Task[None] | None = None
        self._transport: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._sigterm: Sigterm | None = None
        self._ready: deque[Any] = deque()
        """Jobs that nobody has taken yet."""
        self._takers: deque[asyncio.Future[Any]] = deque()

    async def __aenter__(self) -> "Crawler":
        self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    def start(self) -> None:
        """Connect, and stay connected. Nothing happens if it has started."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._sigterm = Sigterm(self._loop.add_signal_handler, self._loop.remove_signal_handler, self.stop_soon)
            self.session.start(self._loop.time())
            self.obey()

    async def jobs(self) -> AsyncIterator[Job]:
        """The jobs, one after the other, until the crawler stops. Several tasks may iterate at a time.

        A job that has not ended when the next one is taken has failed.
        """
        while (job := await self.next_job()) is not None:
            yield job
            await self.left(job, None)

    async def next_job(self) -> Any:
        """The next job, or None if the crawler stops."""
        self.start()
        while self._ready or not self.session.finishing:
            if not self._ready:
                await self._wait()
                continue
            job = self._ready.popleft()
            lost = self.held.get(job.id) is not job
            if not lost:
                self.session.jobs.begin(job.id, self.now())
                self._demand()
                return job
        return None

    async def _wait(self) -> None:
        """Wait until there may be a job, or the crawler stops."""
        assert self._loop is not None
        taker = self._loop.create_future()
        self._takers.append(taker)
        self._demand()
        try:
            await taker
        finally:
            if taker in self._takers:
                self._takers.remove(taker)
            self._demand()

    def _demand(self) -> None:
        self.session.demand = len(self._takers) + len(self._ready)
        self.obey()

    async def stop(self) -> None:
        """Have all jobs given back, and disconnect. What their code does not leave in time is given back for it."""
        self.stop_soon()
        await self.wait_stopped()

    def stop_soon(self) -> None:
        """Begin to :meth:`stop`, without waiting."""
        if self._loop is None:
            self._over.set()
        else:
            self.call(self.session.stop)

    async def finish(self, timeout: float | None = None) -> None:
        """Take no more jobs, wait for those that run, and disconnect.

        Jobs that would not be over within *timeout* seconds are given back before.
        """
        self.start()
        assert self._loop is not None
        self.session.finish(self._loop.time(), timeout)
        self.obey()
        await self.wait_stopped()

    async def wait_stopped(self) -> None:
        """Wait until the crawler has stopped, for whatever reason."""
        await self._over.wait()

    async def left(self, job: Any, error: BaseException | None) -> bool:
        """The block of *job* is left, by *error* or without one: end the job. Whether the error ends here, too."""
        ours = isinstance(error, Exception)
        if job.over or job.cancelled:
            return ours and (job.cancelled or not unexpected(error or Exception()))
        if error is not None and ours and unexpected(error) and job.stopping is None:
            log.error("The job %s has failed", job.id, exc_info=error)
        ended = self.end(job, self.session.jobs.raised, left_by(error))
        if error is None or ours:
            with suppress(ReportRefused):
                await ended
        else:
            ended.add_done_callback(_ignore)
        return ours

    # -- called by connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self._transport = transport
        self.call(self.session.connection_made)

    def received(self, data: bytes) -> None:
        """The server has sent *data*."""
        self.call(self.session.receive, data)

    def connection_lost(self, why: BaseException | None) -> None:
        """The connection has ended, or was not made."""
        self._transport = None
        self.call(self.session.connection_lost, str(why or "it was closed"))

    # -- see Shell

    def now(self) -> float:
        """The loop's time."""
        assert self._loop is not None
        return self._loop.time()

    def call_at(self, deadline: float | None) -> None:
        """Set the timer."""
        assert self._loop is not None
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if deadline is None else self._loop.call_at(deadline, self.obey)
        if self.session.finishing:
            self._wake(len(self._takers))

    def connect(self) -> None:
        """Connect by a task."""
        assert self._loop is not None
        self._connecting = self._loop.create_task(open_connection(self._address, lambda: Wire(self)))
        self._connecting.add_done_callback(self._connected)

    def _connected(self, connecting: "asyncio.Task[None]") -> None:
        # A task that is cancelled before it has begun never runs: only its callback knows.
        if connecting.cancelled():
            self.connection_lost(None)
        elif (error := connecting.exception()) is not None:
            self.connection_lost(error)

    def disconnect(self, abort: bool) -> None:
        """Close the connection, or cancel the attempt to connect."""
        if self._transport is not None:
            self._transport.abort() if abort else self._transport.close()
        elif self._connecting is not None:
            self._connecting.cancel()

    def write(self, data: bytes) -> None:
        """Write to the transport."""
        if self._transport is not None:
            self._transport.write(data)

    def make_job(self, fields: Mapping[str, Any]) -> Any:
        """The job with these *fields*."""
        return self._read(fields, self)

    def take(self, job: Any) -> None:
        """Give it to whoever waits for one."""
        self._ready.append(job)
        self._wake(1)

    def _wake(self, takers: int) -> None:
        for _ in range(min(takers, len(self._takers))):
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(None)

    def make_waiter(self) -> "asyncio.Future[Any]":
        """A future."""
        assert self._loop is not None
        return self._loop.create_future()

    def settle(self, waiter: "asyncio.Future[Any]", result: Any, quietly: bool = True) -> None:
        """Set its result, unless it was cancelled."""
        if waiter.done():
            return
        if isinstance(result, Exception):
            waiter.set_exception(result)
            _ignore(waiter)  # whoever does not await it has nothing to do
        else:
            waiter.set_result(result)

    def warn(self, text: str) -> None:
        """Write to the log."""
        log.warning("%s", text)

    def stopped(self) -> None:
        """Let those go who wait for the end."""
        if self._sigterm is not None:
            self._sigterm.restore()
        self._over.set()


def _ignore(answered: "asyncio.Future[Any]") -> None:
    """Have asyncio not log an error that nobody awaits."""
    if not answered.cancelled():
        answered.exception()
