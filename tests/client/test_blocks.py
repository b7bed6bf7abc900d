"""What the plain client and that for asyncio make of how a job's block and the loop are left."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.client import Crawler, Hello, JobGone, JobRelease
from copilot_socket.client import asyncio as for_asyncio
from copilot_socket.testing import Job, Server

CURSOR = {"currentPage": 7}


class ServerTestCase(SynchronousTestCase):
    """A server with one job."""

    def setUp(self) -> None:
        """Start it."""
        self.server = Server()
        self.server.start()
        self.addCleanup(self.server.stop)
        self.job = self.server.add_job("issues", "g/p")

    def ended(self, job: Job | None = None) -> tuple[str, str | None, str | None]:
        """State, cause and error of a job."""
        job = job or self.job
        return str(job.status), None if job.cause is None else str(job.cause), job.error


class PlainTests(ServerTestCase):
    """``with job`` and ``jobs()``."""

    def setUp(self) -> None:
        """A crawler."""
        super().setUp()
        self.crawler = Crawler(self.server.path, Hello("c"), give_back_within=0.2)
        self.addCleanup(self.crawler.stop)

    def test_left_by_an_interrupt(self) -> None:
        """The job is given back, and the error goes on."""
        for error in (KeyboardInterrupt, SystemExit, GeneratorExit):
            job = self.crawler.next_job(60)
            assert job is not None
            with self.assertRaises(error), job:
                job.progress(1, resume_state=CURSOR)
                raise error
        self.server.wait(lambda: self.job.outcomes == ["given_back"] * 3)
        self.assertEqual((self.ended(), self.job.resume_state), (("queued", "drained", None), CURSOR))

    def test_left_unfinished(self) -> None:
        """A block that just ends is a failure, and so is an iteration."""
        self.job.max_attempts = 2
        jobs = self.crawler.jobs()
        with next(jobs) as job:
            job.progress(1)
        next(jobs)
        self.server.add_job("issues", "g/q")
        with next(jobs) as job:
            job.complete()
        status, cause, error = self.ended()
        self.assertEqual((status, cause, self.job.outcomes), ("failed", "job_error", ["failed"] * 2))
        self.assertIn("without complete()", error or "")

    def test_a_loop_that_is_left(self) -> None:
        """Its job is given back, and the crawler can go on."""
        for job in self.crawler.jobs():
            job.progress(1, resume_state=CURSOR)
            break
        self.assertEqual((self.ended(), self.job.releases), (("queued", "released", None), 1))
        for job in self.crawler.jobs():
            job.complete()
            break
        self.assertEqual(self.job.status, "completed")

    def test_after_the_end(self) -> None:
        """What is raised in a block after its job has ended is not reported, and not hidden."""
        job = self.crawler.next_job(60)
        assert job is not None
        with self.assertRaises(KeyError), job:
            job.complete()
            job.check()
            raise KeyError
        with self.assertRaises(JobGone):
            job.progress(1)
        self.assertEqual(self.job.status, "completed")

    def test_a_paused_job(self) -> None:
        """The report that finds it out is stored first; a job that is left instead is given back, too."""
        job = self.crawler.next_job(60)
        assert job is not None
        self.job.wait("running").pause()
        self.server.wait(lambda: job.paused)
        with self.assertRaises(JobRelease):
            job.progress(3, resume_state=CURSOR)
        self.assertEqual(self.job.resume_state, CURSOR)
        with job:
            pass
        self.assertEqual(self.ended(), ("paused", "paused", None))

    def test_a_cancelled_job(self) -> None:
        """Whatever is raised in its block then ends there."""
        job = self.crawler.next_job(60)
        assert job is not None
        self.job.wait("running").cancel()
        self.server.wait(lambda: job.cancelled)
        with job:
            self.assertRaises(JobGone, job.check)
            raise OSError("the connection was closed")
        self.assertEqual((self.ended(), self.server.errors), (("cancelled", "cancelled", None), []))

    def test_waiting(self) -> None:
        """For a time, or until the crawler stops."""
        self.job.cancel()
        self.assertRaises(TimeoutError, self.crawler.next_job, 0.01)
        self.crawler.stop()
        self.assertIsNone(self.crawler.next_job())
        self.assertEqual(list(self.crawler.jobs()), [])
        idle = Crawler(self.server.path)
        idle.stop()
        idle.finish()

    def test_stopped_while_its_code_works(self) -> None:
        """A job that is not left in time is given back; its code learns that."""
        with Crawler(self.server.path, Hello("d"), give_back_within=0.05) as crawler:
            job = crawler.next_job(60)
            assert job is not None
            job.progress(1, resume_state=CURSOR)
        self.job.wait("queued")
        self.assertEqual((self.ended(), self.job.resume_state), (("queued", "drained", None), CURSOR))
        with job:
            job.progress(2)
        self.assertEqual(self.server.errors, [])

    def test_stopped_without_a_server(self) -> None:
        """There is nobody to give the job back to: who waits for an answer learns that the crawler has stopped."""
        job = self.crawler.next_job(60)
        assert job is not None
        self.server.stop()
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(job.progress, 1)
            self.crawler.stop()
            self.assertRaises(JobGone, waiting.result, 60)
        with job:
            job.complete()

    def test_finish(self) -> None:
        """What runs is waited for, and nothing more is taken."""
        job = self.crawler.next_job(60)
        assert job is not None
        other = self.server.add_job("issues", "g/q")
        self.server.shut_down("crawler", timeout=60)
        self.assertIsNone(self.crawler.next_job())
        job.complete()
        self.server.wait(lambda: not self.server.crawlers)
        self.assertEqual((self.job.status, other.status), ("completed", "queued"))


class AsyncioTests(ServerTestCase):
    """``async with job``."""

    def crawl(self, block: Callable[[for_asyncio.Crawler, for_asyncio.Job], Coroutine[Any, Any, None]]) -> None:
        """Run *block* with the first job."""

        async def main() -> None:
            async with for_asyncio.Crawler(self.server.path, Hello("c"), give_back_within=0.2) as crawler:
                job = await asyncio.wait_for(crawler.next_job(), 60)
                await block(crawler, job)

        asyncio.run(main())

    def test_the_cancellation_of_the_task(self) -> None:
        """It goes on, and the job is given back."""

        async def block(_crawler: for_asyncio.Crawler, job: for_asyncio.Job) -> None:
            async def work() -> None:
                async with job:
                    await job.progress(1, resume_state=CURSOR)
                    task.cancel()
                    await asyncio.sleep(60)

            task = asyncio.create_task(work())
            with self.assertRaises(asyncio.CancelledError):
                await task

        self.crawl(block)
        self.assertEqual((self.ended(), self.job.resume_state), (("queued", "drained", None), CURSOR))

    def test_an_interrupted_block(self) -> None:
        """The cancellation of a job ends at its block, also if the block waits no more, or another error results."""

        async def block(crawler: for_asyncio.Crawler, job: for_asyncio.Job) -> None:
            for error in (None, OSError("no answer")):
                async with job:
                    await job.progress(1)
                    server_job = self.server.jobs[-1]
                    await asyncio.to_thread(server_job.cancel)
                    try:
                        await asyncio.sleep(60)
                    except asyncio.CancelledError:
                        if error is not None:
                            raise error from None
                await asyncio.sleep(0)
                self.server.add_job("issues", "g/q")
                job = await crawler.next_job()
            async with job:
                await asyncio.to_thread(self.server.jobs[-1].cancel)
                while not job.cancelled:
                    await asyncio.sleep(0)
            await asyncio.sleep(0)

        self.crawl(block)
        self.assertEqual([job.outcomes for job in self.server.jobs], [["cancelled"]] * 3)

    def test_a_block_that_does_not_stop(self) -> None:
        """It is cancelled again when its job is given back for it; the task is as it was before."""
        cancelled: list[str | None] = []

        async def block(crawler: for_asyncio.Crawler, job: for_asyncio.Job) -> None:
            async with job:
                crawler.stop_soon()
                for _ in range(2):
                    try:
                        await asyncio.sleep(60)
                    except asyncio.CancelledError:
                        cancelled.append(job.stopping if job.gone is None else "gone")
            task = asyncio.current_task()
            assert task is not None
            self.assertEqual(task.cancelling(), 0)

        self.crawl(block)
        self.job.wait("queued")
        self.assertEqual((cancelled, self.ended()), (["shutdown", "gone"], ("queued", "drained", None)))

    def test_stopped_at_once(self) -> None:
        """Before it has begun to connect."""

        async def main() -> None:
            crawler = for_asyncio.Crawler(self.server.path)
            crawler.start()
            crawler.stop_soon()
            await asyncio.wait_for(crawler.wait_stopped(), 60)

        asyncio.run(main())

    def test_a_time_out(self) -> None:
        """No job is lost when whoever waits for one gives up."""

        async def block(crawler: for_asyncio.Crawler, job: for_asyncio.Job) -> None:
            await job.complete()
            with self.assertRaises(TimeoutError):
                await asyncio.wait_for(crawler.next_job(), 0.01)
            other = self.server.add_job("issues", "g/q")
            await asyncio.to_thread(other.wait, "assigned")
            await (await crawler.next_job()).complete()
            self.assertEqual(other.status, "completed")

        self.crawl(block)
