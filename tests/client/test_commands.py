"""Commands on jobs, jobs that are given back, causes of failures: what the first edition of the protocol lacks."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from copilot_socket.client.messages import milliseconds
from copilot_socket.client.twisted import Job, JobFailure, JobRelease
from tests.client.support import CrawlerTestCase, Peer, in_deferred, work


async def stays(job: Job) -> None:
    """A handler that reports once and then waits until it is cancelled."""
    cursor = {"currentPage": 1}
    await job.progress(3, resume_state=cursor)
    cursor["currentPage"] = 2
    await Deferred()


class CommandTests(CrawlerTestCase):
    """``job_cancel`` and ``job_pause``."""

    features = ("cause", "commands", "job_released")

    async def at_work(self, handler: Any = stays) -> Peer:
        """The server of a crawler whose handler has reported once."""
        peer = await self.begin(handler)
        await peer.take("job_started")
        await peer.take("job_progress")
        return peer

    @in_deferred
    async def test_cancelled(self) -> None:
        """The handler is cancelled, and nothing more is reported; what it raises is not logged as a failure."""
        cancelled: Deferred[None] = Deferred()

        async def handler(job: Job) -> None:
            try:
                await stays(job)
            except CancelledError as error:
                job.progress(9).addErrback(lambda _: None)
                cancelled.callback(None)
                raise OSError("no answer") from error

        peer = await self.at_work(handler)
        peer.send("job_cancel", "j.1.x", reason="over")
        await cancelled
        await peer.expect("job_request")

    @in_deferred
    async def test_cancelled_when_it_was_over(self) -> None:
        """A completion that was not acknowledged is not sent again."""

        async def handler(job: Job) -> None:
            await job.progress(1)

        peer = await self.at_work(handler)
        await peer.expect("job_completed")
        await peer.expect("job_request")
        peer.send("job_cancel", "j.1.x")
        peer.transport.loseConnection()
        peer = await self.server.peers.get()
        self.assertEqual((await peer.greet())["data"]["assignments"], [])
        await peer.expect("job_request")

    @in_deferred
    async def test_paused(self) -> None:
        """The job is given back with the last cursor that was reported, and another one requested."""
        peer = await self.at_work()
        peer.send("job_pause", "j.1.x")
        released = await peer.take("job_released")
        self.assertEqual(released["data"], {"reason": "paused", "resumeState": {"currentPage": 1}})
        await peer.expect("job_request")

    @in_deferred
    async def test_paused_handlers_may_report(self) -> None:
        """A handler that is asked to stop can still report where it is, or complete."""

        async def reports(job: Job) -> None:
            try:
                await stays(job)
            finally:
                await job.progress(4, resume_state={"currentPage": 2})

        peer = await self.at_work(reports)
        peer.send("job_pause", "j.1.x")
        await peer.take("job_progress")
        self.assertEqual((await peer.take("job_released"))["data"]["resumeState"], {"currentPage": 2})

        async def completes(job: Job) -> dict[str, float]:
            try:
                await stays(job)
            except CancelledError:
                return {"issue": 3}

        peer = await self.at_work(completes)
        peer.send("job_pause", "j.1.x")
        self.assertEqual((await peer.take("job_completed"))["data"]["finalCounts"], {"issue": 3})

    @in_deferred
    async def test_whatever_a_paused_handler_raises(self) -> None:
        """An error of the HTTP client, whose request was cancelled, is no failure of the job."""
        for problem in (OSError("no answer"), JobFailure("no answer", resume_state={"currentPage": 1})):

            async def handler(job: Job, problem: Exception = problem) -> None:
                try:
                    await stays(job)
                except CancelledError as error:
                    raise problem from error

            peer = await self.at_work(handler)
            peer.send("job_pause", "j.1.x")
            released = await peer.take("job_released")
            self.assertEqual(released["data"], {"reason": "paused", "resumeState": {"currentPage": 1}})

    @in_deferred
    async def test_a_handler_that_does_not_stop(self) -> None:
        """A second pause changes nothing; the cancellation that follows lets the job go."""
        cancellations: list[str] = []

        async def handler(job: Job) -> None:
            await job.progress(1)
            for _ in range(2):
                try:
                    await Deferred()
                except CancelledError:
                    cancellations.append(job.id)

        peer = await self.at_work(handler)
        peer.send("job_pause", "j.1.x")
        peer.send("job_pause", "j.1.x")
        peer.send("job_cancel", "j.1.x")
        await peer.expect("job_request")
        self.assertEqual(cancellations, ["j.1.x"] * 2)

    @in_deferred
    async def test_commands_on_other_jobs(self) -> None:
        """Those on jobs that it does not have are ignored."""
        peer = await self.at_work()
        peer.send("job_pause", "k.1.y")
        peer.send("job_cancel", "k.1.y")
        peer.send("job_cancel")
        peer.send("job_pause", "j.1.x")
        await peer.take("job_released")


class OldServerTests(CrawlerTestCase):
    """A server that understands nothing beyond the first edition."""

    @in_deferred
    async def test_no_pause(self) -> None:
        """Without releases a job that is to be paused goes on."""
        go_on: Deferred[None] = Deferred()

        async def handler(job: Job) -> None:
            await go_on
            await job.progress(1)

        peer = await self.begin(handler)
        await peer.take("job_started")
        peer.send("job_pause", "j.1.x")
        peer.transport.loseConnection()
        peer = await self.server.peers.get()
        await peer.greet()
        go_on.callback(None)
        await peer.take("job_progress")
        await peer.take("job_completed")

    @in_deferred
    async def test_no_cause_and_no_limits(self) -> None:
        """Neither a cause nor a rate limit is sent."""

        async def handler(job: Job) -> None:
            job.rate_limit(5)
            raise JobFailure("no answer", cause="gitlab_unavailable")

        peer = await self.begin(handler)
        await peer.take("job_started")
        failed = await peer.take("job_failed")
        self.assertEqual(failed["data"], {"error": "no answer", "errorType": "JobFailure", "isRecoverable": True})

    @in_deferred
    async def test_no_release(self) -> None:
        """A release is a recoverable failure."""

        async def handler(job: Job) -> None:
            raise JobRelease("rate_limited", "429", retry_after=3, resume_state={"currentPage": 1})

        peer = await self.begin(handler)
        await peer.take("job_started")
        data = (await peer.take("job_failed"))["data"]
        self.assertEqual((data["error"], data["isRecoverable"]), ("rate_limited: 429", True))
        self.assertEqual(data["resumeState"], {"currentPage": 1})

    @in_deferred
    async def test_a_release_that_an_older_node_refuses(self) -> None:
        """The node that it reaches may be older than the one that listed the feature: the job fails."""
        self.features = ("job_released",)

        async def handler(job: Job) -> None:
            await job.progress(1)
            raise JobRelease

        peer = await self.begin(handler)
        await peer.take("job_started")
        await peer.take("job_progress")
        released = await peer.expect("job_released")
        peer.send("error", "j.1.x", code="unknown_type", message="?", ref=released["id"])
        await peer.expect("job_request")
        self.assertTrue((await peer.take("job_failed"))["data"]["isRecoverable"])


class EndTests(CrawlerTestCase):
    """Releases and failures that handlers raise."""

    features = ("cause", "job_released")

    async def end(self, problem: Exception, kind: str) -> dict[str, Any]:
        """The report that *problem* leads to."""

        async def handler(job: Job) -> None:
            await job.progress(1, resume_state={"currentPage": 1})
            raise problem

        peer = await self.begin(handler)
        await peer.take("job_started")
        await peer.take("job_progress")
        data: dict[str, Any] = (await peer.take(kind))["data"]
        return data

    @in_deferred
    async def test_release(self) -> None:
        """With the reason, the time to wait in milliseconds, and the last cursor or the given one."""
        release = JobRelease("rate_limited", "429", retry_after=1.5)
        self.assertEqual(
            await self.end(release, "job_released"),
            {"reason": "rate_limited", "message": "429", "retryAfter": 1500, "resumeState": {"currentPage": 1}},
        )
        release = JobRelease(resume_state={"currentPage": 2})
        self.assertEqual(
            await self.end(release, "job_released"), {"reason": "other", "resumeState": {"currentPage": 2}}
        )

    @in_deferred
    async def test_cause(self) -> None:
        """A failure names its cause; without one the server infers it."""
        data = await self.end(JobFailure("down", cause="gitlab_unavailable"), "job_failed")
        self.assertEqual(data["cause"], "gitlab_unavailable")
        self.assertNotIn("cause", await self.end(JobFailure("HTTP 503"), "job_failed"))

    @in_deferred
    async def test_no_token(self) -> None:
        """A refused token is the credential's fault."""

        async def handler(job: Job) -> None:
            await job.refresh_token()

        peer = await self.begin(handler)
        await peer.take("job_started")
        await peer.expect("token_refresh_request")
        peer.send("token_refresh_response", "j.1.x", accessToken="", expiresAt="2027", refreshSuccessful=False)
        self.assertEqual((await peer.take("job_failed"))["data"]["cause"], "credential")

    def test_what_the_server_would_refuse(self) -> None:
        """Unknown causes and reasons are errors of the handler; times, which GitLab may have said, are clamped."""
        self.assertRaises(ValueError, JobFailure, "x", cause="gitlab")
        self.assertRaises(ValueError, JobRelease, "tired")
        for seconds, waited in (
            (-1, 0),
            (float("inf"), 3_600_000),
            (float("nan"), 0),
            (1.5, 1500),
            (1e306, 3_600_000),
        ):
            self.assertEqual(milliseconds(seconds), waited)


class StopTests(CrawlerTestCase):
    """A crawler that stops gives its jobs back."""

    features = ("job_released",)

    async def at_work(self, handler: Any = stays) -> Peer:
        """The server of a crawler that has started a job."""
        peer = await self.begin(handler)
        await peer.take("job_started")
        return peer

    @in_deferred
    async def test_stopped(self) -> None:
        """The connection is closed when the release is acknowledged; a second stop waits for the first."""
        peer = await self.at_work()
        await peer.take("job_progress")
        stopped, again = self.crawler.stopService(), self.crawler.stopService()
        released = await peer.expect("job_released")
        self.assertEqual(released["data"], {"reason": "shutdown", "resumeState": {"currentPage": 1}})
        self.assertFalse(stopped.called)
        peer.acknowledge(released)
        await stopped
        await again
        await self.crawler.finished
        await peer.gone

    @in_deferred
    async def test_no_more_work(self) -> None:
        """A job that comes for its last request goes back at once."""
        peer = await self.at_work()
        stopped = self.crawler.stopService()
        await peer.take("job_progress")
        released = await peer.expect("job_released")
        peer.give(work("k.1.y"), work("k.1.y"))
        declined = await peer.take("job_released")
        self.assertEqual((declined["jobId"], declined["data"]), ("k.1.y", {"reason": "shutdown"}))
        peer.acknowledge(released)
        await stopped

    @in_deferred
    async def test_a_handler_that_does_not_stop(self) -> None:
        """It is waited for, but not for long: its job is given back all the same, and it is cancelled again."""
        self.give_back_within = 0.02
        ended: list[str] = []

        async def handler(job: Job) -> None:
            for _ in range(2):
                try:
                    await Deferred()
                except CancelledError:
                    ended.append(job.id)

        peer = await self.at_work(handler)
        await self.crawler.stopService()
        await peer.gone
        self.assertEqual(ended, ["j.1.x"] * 2)
        self.assertEqual((await peer.expect("job_released"))["data"], {"reason": "shutdown"})

    @in_deferred
    async def test_asked_to_exit(self) -> None:
        """What is not over in time is given back before the time is up."""
        peer = await self.at_work()
        await peer.take("job_progress")
        peer.send("shutdown", scope="crawler", graceful=True, timeout_seconds=0.1)
        self.assertEqual((await peer.take("job_released"))["data"]["reason"], "shutdown")
        await peer.gone
        await self.crawler.finished

    @in_deferred
    async def test_asked_to_exit_with_time_enough(self) -> None:
        """A job that is over in time is completed, and no other one taken."""
        go_on: Deferred[None] = Deferred()

        async def handler(job: Job) -> None:
            await go_on

        peer = await self.at_work(handler)
        peer.send("shutdown", scope="crawler", graceful=True, timeout_seconds=60)
        peer.give(work("k.1.y"))
        self.assertEqual((await peer.take("job_released"))["jobId"], "k.1.y")
        go_on.callback(None)
        self.assertEqual((await peer.take("job_completed"))["jobId"], "j.1.x")
        await self.crawler.finished

    @in_deferred
    async def test_without_a_connection(self) -> None:
        """There is nobody to give a job back to: the crawler stops at once."""
        peer = await self.at_work()
        peer.transport.loseConnection()
        await self.server.peers.get()
        await self.crawler.stopService()
