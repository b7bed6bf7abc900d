"""One suite for every shell, at a real node and at the server for tests: they all behave alike."""

from collections.abc import Generator
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from copilot_socket.client import DiscoveredJob, JobFailure, JobGone, JobRelease, ReportRefused, TokenRefused
from tests.client.benches import MemoryBench, NodeBench, becomes, in_time
from tests.client.drivers import STAY, AsyncioDriver, Scenario, SyncDriver, TwistedDriver
from tests.support.crawler import until

CURSOR = {"currentPage": 7}
Steps = Generator[Any, Any, None]


class Behaviour:
    """What a crawler's code may do, and what its server makes of it."""

    driver: Any
    jobs: list[Any]
    """Those that the scenario was given."""

    def crawl(self, path: str, scenario: Scenario, **hello: Any) -> Any:
        """A crawler that plays *scenario* for each job."""
        self.jobs = []

        def noted(job: Any) -> Steps:
            self.jobs.append(job)
            return scenario(job)

        crawler = self.driver(path, noted, **{"crawler_id": "one", "entity_types": ("issue", "areas"), **hello})
        self.addCleanup(crawler.stop)
        return crawler

    @in_time
    async def test_completed(self) -> None:
        """A job goes on from its cursor, and completes with its counts; so does the next one."""
        path = await self.serve()

        def scenario(job: Any) -> Steps:
            yield job.progress(3, total=3, resume_state={"currentPage": job.next_page})
            yield job.complete({"issue": 3})

        first, second = self.add("g/p", cursor=CURSOR), self.add("g/q")
        self.crawl(path, scenario)
        seen = await becomes(self, first, "completed")
        self.assertEqual((seen.cursor, seen.counts, seen.outcomes), ({"currentPage": 8}, {"issue": 3}, ["completed"]))
        await becomes(self, second, "completed")
        self.assertEqual([job.full_path for job in self.jobs], ["g/p", "g/q"])

    @in_time
    async def test_failed_and_resumed(self) -> None:
        """A recoverable failure counts, and the next attempt goes on from the cursor."""
        path = await self.serve()

        def scenario(job: Any) -> Steps:
            if job.attempt > 1:
                yield job.complete({"from": job.next_page})
            yield job.progress(1, resume_state=CURSOR)
            raise JobFailure("a page is odd", cause="job_error")

        job = self.add()
        self.crawl(path, scenario)
        seen = await becomes(self, job, "completed")
        self.assertEqual((seen.attempts, seen.counts, seen.outcomes), (1, {"from": 8}, ["failed", "completed"]))

    @in_time
    async def test_failed_for_good(self) -> None:
        """A failure that is not recoverable is the last."""
        path = await self.serve()

        def scenario(job: Any) -> Steps:
            yield job.fail("HTTP 404", recoverable=False, cause="not_found")

        job = self.add()
        self.crawl(path, scenario)
        seen = await becomes(self, job, "failed")
        self.assertEqual((seen.cause, seen.attempts, seen.outcomes), ("not_found", 1, ["failed"]))

    @in_time
    async def test_released(self) -> None:
        """A job that a limit of GitLab's stops spends no attempt, and waits."""
        path = await self.serve()

        def scenario(job: Any) -> Steps:
            yield job.progress(1, resume_state=CURSOR)
            raise JobRelease("rate_limited", retry_after=600)

        job = self.add()
        self.crawl(path, scenario)
        await until(lambda: self.see(job).outcomes == ["given_back"])
        seen = self.see(job)
        self.assertEqual((seen.status, seen.cause, seen.attempts, seen.cursor), ("queued", "rate_limited", 0, CURSOR))

    @in_time
    async def test_cancelled(self) -> None:
        """Work on a cancelled job is interrupted, nothing more can be reported, and the next job comes."""
        path = await self.serve()
        at_work: list[Any] = []
        problems: list[type] = []

        def scenario(job: Any) -> Steps:
            if job.full_path == "g/q":
                yield job.complete()
            yield job.progress(1)
            try:
                at_work.append(job)
                yield STAY
            except BaseException:
                try:
                    yield job.progress(2)
                except JobGone as problem:
                    problems.append(type(problem))
                raise

        job = self.add("g/p")
        self.crawl(path, scenario)
        await until(lambda: at_work)  # a job may be running before its first report has returned
        await self.cancel(job)
        await becomes(self, self.add("g/q"), "completed")
        self.assertEqual((problems, self.see(job).status), ([JobGone], "cancelled"))

    @in_time
    async def test_paused_and_resumed(self) -> None:
        """A paused job is given back with the cursor that was reported last, and goes on from there."""
        path = await self.serve()

        def scenario(job: Any) -> Steps:
            if job.attempt > 1:
                yield job.complete({"from": job.next_page})
            yield job.progress(1, resume_state=CURSOR)
            yield STAY

        job = self.add()
        self.crawl(path, scenario)
        await until(lambda: self.see(job).cursor == CURSOR)
        await self.pause(job)
        seen = await becomes(self, job, "paused")
        self.assertEqual((seen.attempts, seen.cause, seen.outcomes), (0, "paused", ["given_back"]))
        await self.resume(job)
        self.assertEqual((await becomes(self, job, "completed")).counts, {"from": 8})

    @in_time
    async def test_stopped(self) -> None:
        """A crawler that stops gives its job back with its cursor."""
        path = await self.serve()

        def scenario(job: Any) -> Steps:
            yield job.progress(1, resume_state=CURSOR)
            yield STAY

        job = self.add()
        crawler = self.crawl(path, scenario)
        await until(lambda: self.see(job).cursor == CURSOR)
        await crawler.stop()
        seen = self.see(job)
        self.assertEqual((seen.status, seen.cause, seen.cursor, seen.attempts), ("queued", "drained", CURSOR, 0))

    @in_time
    async def test_no_token(self) -> None:
        """A refused token that is not caught lets the job wait for its credential."""
        path = await self.serve()
        self.refuse_tokens()

        def scenario(job: Any) -> Steps:
            with self.assertRaises(TokenRefused):
                yield job.refresh_token("401")
            yield job.refresh_token()

        job = self.add()
        self.crawl(path, scenario)
        seen = await becomes(self, job, "waiting_credential")
        self.assertEqual((seen.attempts, seen.cause, seen.outcomes), (0, "credential", ["credential"]))

    @in_time
    async def test_discoveries(self) -> None:
        """Discovered projects become jobs, however many there are; an area only is recorded."""
        path = await self.serve()

        def scenario(job: Any) -> Steps:
            if job.entity_type == "areas":
                found = [DiscoveredJob("crawl_project", str(n), f"g/p{n}", f"P{n}") for n in range(201)]
                yield job.discover(found, {"total_projects": 201})
                yield job.areas("group", [{"id": 1, "name": "G", "path": "g"}])
            yield job.complete()

        job = self.add("", "GROUP_PROJECT_DISCOVERY")
        self.crawl(path, scenario, entity_types=("areas",))
        await becomes(self, job, "completed")
        commands = self.commands()
        self.assertEqual((len(commands), commands.count("issues")), (1 + 201 * 9, 201))

    @in_time
    async def test_a_refused_report(self) -> None:
        """A report that the server would refuse is raised where it is made, and the job goes on."""
        path = await self.serve()
        refused: list[str] = []

        def scenario(job: Any) -> Steps:
            for state in ({"big": "x" * 70_000}, {"big": "x" * 2_000_000}):
                try:
                    yield job.progress(1, resume_state=state)
                except ReportRefused as problem:
                    refused.append(problem.code)
            yield job.complete()

        job = self.add()
        self.crawl(path, scenario)
        await becomes(self, job, "completed")
        self.assertEqual(refused, ["invalid_message", "message_too_large"])

    @in_time
    async def test_an_error_of_the_code(self) -> None:
        """Any other exception is a recoverable failure; it ends the job, not the crawler."""
        path = await self.serve()

        def scenario(job: Any) -> Steps:
            if job.attempt == 1:
                raise KeyError("iid")
            yield job.complete()

        job = self.add()
        self.crawl(path, scenario)
        self.assertEqual((await becomes(self, job, "completed")).outcomes, ["failed", "completed"])
        self.flushLoggedErrors(KeyError)

    @in_time
    async def test_several_at_a_time(self) -> None:
        """No more jobs are held than the crawler has use for."""
        path = await self.serve()
        jobs = [self.add(f"g/p{n}") for n in range(4)]

        def scenario(job: Any) -> Steps:
            yield job.progress(1)
            yield STAY

        crawlers = [self.crawl(path, scenario, crawler_id=name) for name in ("one", "two")]
        await until(lambda: [self.see(job).status for job in jobs].count("running") == 2)
        self.assertEqual([self.see(job).status for job in jobs].count("queued"), 2)
        await gatherResults([crawler.stop() for crawler in crawlers])


class SyncNodeTests(Behaviour, NodeBench):
    """The plain shell at a node."""

    driver = SyncDriver


class AsyncioNodeTests(Behaviour, NodeBench):
    """The shell for asyncio at a node."""

    driver = AsyncioDriver


class TwistedNodeTests(Behaviour, NodeBench):
    """The shell for Twisted at a node."""

    driver = TwistedDriver


class SyncMemoryTests(Behaviour, MemoryBench, TestCase):
    """The plain shell at the server for tests."""

    driver = SyncDriver


class AsyncioMemoryTests(Behaviour, MemoryBench, TestCase):
    """The shell for asyncio at the server for tests."""

    driver = AsyncioDriver


class TwistedMemoryTests(Behaviour, MemoryBench, TestCase):
    """The shell for Twisted at the server for tests."""

    driver = TwistedDriver
