"""The client library at a real node, with the database behind it."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import UNIXClientEndpoint

from copilot_socket.client.twisted import Crawler, Hello, Job, JobFailure, JobRelease
from copilot_socket.core.jobs import Event
from copilot_socket.store.crawler_modes import CrawlerModes
from tests.handlers.support import NodeTestCase
from tests.support.acts import ACT
from tests.support.crawler import reactor, until

CURSOR = {"currentPage": 7}


class ClientTests(NodeTestCase):
    """One job, whose handler is at work."""

    async def at_work(self, then: Callable[[Job], Any] | None = None) -> str:
        """The job, once its handler has reported a cursor. *then* is what it does next: wait for its cancellation."""
        await self.node()
        self.seen: list[object] = []
        reported: list[Job] = []

        async def handler(job: Job) -> None:
            self.seen.append(job.resume_state)
            await job.progress(1, resume_state=CURSOR)
            reported.append(job)
            try:
                await (Deferred() if then is None else then(job))
            except CancelledError as error:
                self.seen.append(type(error))
                raise

        endpoint = UNIXClientEndpoint(reactor, self.nodes[0].config.socket_path)
        self.client = Crawler(endpoint, handler, Hello("one"), reactor, backoff=lambda _attempt: 0.01)
        self.client.startService()
        self.addCleanup(self.client.stopService)
        [job] = self.add_jobs("g/p")
        await until(lambda: reported, "it has reported")
        return job

    async def test_paused_and_resumed(self) -> None:
        """It is given back with its cursor, and goes on from there."""
        job = await self.at_work()
        await self.nodes[0].transitions.pause(job, ACT)
        await self.becomes(job, "paused")
        self.assertEqual(self.row(job, "attempts", "releases", "resume_state"), (0, 0, CURSOR))
        await self.nodes[0].transitions.resume(job, ACT)
        await until(lambda: self.seen == [None, CancelledError, CURSOR], "it goes on")

    async def test_cancelled(self) -> None:
        """The handler stops, and there is room for the next job."""
        job = await self.at_work()
        await self.nodes[0].transitions.apply([job], Event.CANCELLED)
        await until(lambda: self.seen == [None, CancelledError], "it stops")
        [other] = self.add_jobs("g/q")
        await self.becomes(other, "running")
        self.assertEqual(self.status(job), "cancelled")

    async def test_stopped(self) -> None:
        """A crawler that stops gives its job back, so that another one has it without a grace."""
        job = await self.at_work()
        await self.client.stopService()
        self.assertEqual(self.row(job, "status", "attempts", "resume_state"), ("queued", 0, CURSOR))
        self.assertEqual(self.query("SELECT cause FROM job_tries"), [("drained",)])

    async def test_asked_to_exit(self) -> None:
        """A crawler that is asked to exit takes no more work, and exits when it is done."""
        go_on: Deferred[None] = Deferred()
        job = await self.at_work(lambda _: go_on)
        self.assertIs(await CrawlerModes(self.nodes[0].database).shut_down("one", ACT), True)
        await until(lambda: self.client.session.finishing, "it was asked")
        [other] = self.add_jobs("g/q")
        go_on.callback(None)
        await self.client.finished
        self.assertEqual((self.status(job), self.status(other)), ("completed", "queued"))

    async def test_released(self) -> None:
        """A job that a limit of GitLab's stops spends no attempt, and waits as long as it is told."""

        def release(_job: Job) -> None:
            raise JobRelease("rate_limited", retry_after=600)

        job = await self.at_work(release)
        await self.becomes(job, "queued")
        columns = ("attempts", "cause", "resume_state", "scheduled_at > now() + interval '590 s'")
        self.assertEqual(self.row(job, *columns), (0, "rate_limited", CURSOR, True))

    async def test_failed(self) -> None:
        """The cause that the handler names is the one that is stored, whatever the text says."""

        def fail(_job: Job) -> None:
            raise JobFailure("HTTP 503", recoverable=False, cause="not_found")

        job = await self.at_work(fail)
        await self.becomes(job, "failed")
        self.assertEqual(self.row(job, "cause"), "not_found")

    async def test_rate_limit(self) -> None:
        """What is left of a budget is stored, in the end the latest state."""

        async def say(job: Job) -> None:
            for remaining in (900, 800, 700):
                job.rate_limit(remaining, limit=1000, reset_at=4e9, name="throttle_x")

        job = await self.at_work(say)
        await self.becomes(job, "completed")
        statement = 'SELECT account_id, name, remaining, "limit" FROM budgets'
        await until(lambda: self.query(statement) == [("acct", "throttle_x", 700, 1000)], "it is stored")
