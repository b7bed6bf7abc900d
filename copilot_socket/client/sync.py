"""The plain client: calls block, and a thread in the background keeps the connection.

    from copilot_socket.client import Crawler

    for job in Crawler("/var/run/copilot-study/crawler.sock").jobs():
        with job:
            job.progress(20, resume_state={"currentPage": job.next_page})
            job.complete({job.entity_type: 20})

The thread sends heartbeats, reconnects, repeats what was not acknowledged, and receives cancellations and pauses,
which the job's next call raises.
"""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, TypeVar

from copilot_socket.client import asyncio as shell
from copilot_socket.client.addresses import Address
from copilot_socket.client.connection import backoff as default_backoff
from copilot_socket.client.hello import Hello
from copilot_socket.client.job import BaseJob
from copilot_socket.client.problems import JobFailure, JobGone, JobRelease
from copilot_socket.client.session import GIVE_BACK_WITHIN
from copilot_socket.client.sigterm import Sigterm

Result = TypeVar("Result")
_STOPPED = JobGone("stale_assignment", "the crawler has stopped")


class Job(BaseJob[None, str]):
    """A job whose methods return when the server has stored what they report.

    Those that report raise :class:`JobGone` if the job is cancelled, and after the report :class:`JobRelease` if it
    is to be given back, because it is paused or the crawler stops. As a context manager it ends the job by what its
    block raises, and lets only errors through that are none of a job, such as ``KeyboardInterrupt``.
    """

    def __enter__(self) -> "Job":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        """End the job, unless that is done."""
        return self._reporter.left(self, error)  # type: ignore[attr-defined, no-any-return]


class Crawler:
    """Crawls for the server at *address*: the path of a UNIX socket, :class:`TCP` or :class:`TLS`.

    As a context manager it stops when its block is left.
    """

    def __init__(
        self,
        address: Address,
        hello: Hello | None = None,
        *,
        backoff: Callable[[int], float] = default_backoff,
        give_back_within: float = GIVE_BACK_WITHIN,
    ) -> None:
        self._shell = shell.Crawler(
            address,
            hello,
            backoff=backoff,
            give_back_within=give_back_within,
            read=lambda fields, _shell: Job.read(fields, self),
        )
        self._guard = threading.Lock()
        """Of all that follows."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ended = False
        self._waiting: set[Future[Any]] = set()
        """What other threads wait for."""

    def __enter__(self) -> "Crawler":
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def features(self) -> frozenset[str]:
        """What the server understands beyond the first edition of the protocol."""
        return self._shell.features

    def start(self) -> None:
        """Connect, and stay connected. Nothing happens if it has started."""
        with self._guard:
            if self._thread is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._run, name="copilot_socket.client", daemon=True)
                self._thread.start()

    def jobs(self) -> Iterator[Job]:
        """The jobs, one after the other, until the crawler stops. Several threads may iterate at a time.

        A job that has not ended when the next one is taken has failed; one whose loop is left is given back. In the
        main thread SIGTERM stops the crawler meanwhile, unless the program has a handler of its own for that.
        """
        with self._heed_sigterm():
            while (job := self.next_job()) is not None:
                try:
                    yield job
                except GeneratorExit:
                    self.left(job, JobRelease("other", "the crawler has left its loop"))
                    raise
                self.left(job, None)

    def next_job(self, timeout: float | None = None) -> Job | None:
        """The next job, or None if the crawler stops. Raises ``TimeoutError`` after *timeout* seconds."""
        self.start()

        async def take() -> Job | None:
            job: Job | None = await asyncio.wait_for(self._shell.next_job(), timeout)
            return job

        with suppress(JobGone):
            return self._wait_for(take)
        return None

    def stop(self) -> None:
        """Have all jobs given back, and disconnect. What their code does not leave in time is given back for it."""
        self._end(self._shell.stop)

    def stop_soon(self) -> None:
        """Begin to :meth:`stop`, without waiting: for handlers of signals."""
        self._soon(self._shell.stop_soon)

    def finish(self, timeout: float | None = None) -> None:
        """Take no more jobs, wait for those that run, and disconnect.

        Jobs that would not be over within *timeout* seconds are given back before.
        """
        self._end(lambda: self._shell.finish(timeout))

    def _end(self, how: Callable[[], Awaitable[None]]) -> None:
        if self._thread is not None:
            with suppress(JobGone):
                self._wait_for(how)
            self._thread.join()

    # -- called by jobs

    def report(self, job: Job, kind: str, parts: list[dict[str, Any]]) -> None:
        """See :class:`copilot_socket.client.job.Reporter`, as for the methods below."""
        self._wait_for(lambda: self._shell.report(job, kind, parts))
        job.check()

    def refresh_token(self, job: Job, data: dict[str, Any]) -> str:
        """See above."""
        token: str = self._wait_for(lambda: self._shell.refresh_token(job, data))
        return token

    def rate_limit(self, job: Job, data: dict[str, Any]) -> None:
        """See above."""
        self._soon(self._shell.rate_limit, job, data)

    def complete(self, job: Job, counts: Mapping[str, float] | None) -> None:
        """See above."""
        self._wait_for(lambda: self._shell.complete(job, counts))

    def fail(self, job: Job, failure: JobFailure) -> None:
        """See above."""
        self._wait_for(lambda: self._shell.fail(job, failure))

    def release(self, job: Job, release: JobRelease) -> None:
        """See above."""
        self._wait_for(lambda: self._shell.release(job, release))

    def left(self, job: Job, error: BaseException | None) -> bool:
        """The block of *job* is left, by *error* or without one: end the job. Whether the error ends here, too."""
        try:
            return self._wait_for(lambda: self._shell.left(job, error))
        except JobGone:
            return isinstance(error, Exception)

    # -- the thread

    def _run(self) -> None:
        assert self._loop is not None
        loop = self._loop
        asyncio.set_event_loop(loop)

        async def run() -> None:
            self._shell.start()
            await self._shell.wait_stopped()
            with self._guard:
                self._ended = True
            await asyncio.sleep(0)  # what was asked before begins, and is cancelled

        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(run())
        finally:
            with self._guard:
                self._ended = True
                for result in self._waiting:
                    if not result.done():
                        result.set_exception(_STOPPED)

    def _soon(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have *function* called in the thread, if that runs. Signals' handlers may call this: nothing is locked."""
        if self._loop is not None:
            with suppress(RuntimeError):  # it has stopped
                self._loop.call_soon_threadsafe(function, *arguments)

    def _wait_for(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """What *call*, called in the thread, returns or raises; :class:`JobGone` if the crawler has stopped."""
        result: Future[Result] = Future()
        tasks: list[asyncio.Task[Result]] = []

        async def wait() -> Result:
            return await call()

        def begin() -> None:
            tasks.append(asyncio.get_running_loop().create_task(wait()))
            tasks[0].add_done_callback(lambda task: _copy(task, result))

        with self._guard:
            if self._ended or self._loop is None:
                raise _STOPPED
            self._waiting.add(result)
            self._loop.call_soon_threadsafe(begin)
        try:
            return result.result()
        except BaseException as error:
            if not isinstance(error, Exception):  # KeyboardInterrupt: nobody waits any more
                self._soon(lambda: [task.cancel() for task in tasks])
            raise
        finally:
            with self._guard:
                self._waiting.discard(result)

    @contextmanager
    def _heed_sigterm(self) -> Iterator[None]:
        sigterm = Sigterm(signal.signal, lambda number: signal.signal(number, signal.SIG_DFL), self.stop_soon)
        try:
            yield
        finally:
            sigterm.restore()


def _copy(task: "asyncio.Task[Result]", result: "Future[Result]") -> None:
    """Give *result* what *task* has come to."""
    if result.done():
        return
    if task.cancelled():
        result.set_exception(_STOPPED)
    elif (error := task.exception()) is not None:
        result.set_exception(error)
    else:
        result.set_result(task.result())
