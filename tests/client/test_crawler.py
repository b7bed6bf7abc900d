"""The client library, against a server on a real UNIX socket."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from copilot_socket.client.twisted import DiscoveredJob, Job, JobFailure, JobGone, ReportRefused, TokenRefused
from tests.client.support import CrawlerTestCase, in_deferred, work


async def one_page(job: Job) -> dict[str, float]:
    """A handler that reports once."""
    await job.progress(3, total=3, resume_state={"currentPage": 1})
    return {"issue": 3}


class ConversationTests(CrawlerTestCase):
    """The messages of a crawler, and their order."""

    @in_deferred
    async def test_a_job_from_hello_to_completion(self) -> None:
        """A crawler sends hello, requests a job, starts, reports, completes and requests again."""
        self.crawl(one_page, entity_types=("issue", "epics"), max_jobs=1, token="secret")
        peer = await self.server.peers.get()
        hello = await peer.greet()
        self.assertEqual(
            hello["data"],
            {
                "crawlerId": "c-1",
                "token": "secret",
                "maxJobs": 1,
                "entityTypes": ["issue", "epics"],
                "assignments": [],
                "capabilities": ["ack", "commands"],
            },
        )
        self.assertEqual((await peer.expect("job_request"))["data"], {"limit": 1})
        peer.give(work())
        started = await peer.take("job_started")
        self.assertEqual((started["jobId"], started["data"]), ("j.1.x", {"entityType": "issue", "entityId": "7"}))
        progress = await peer.take("job_progress")
        self.assertEqual(progress["data"]["resumeState"], {"currentPage": 1})
        self.assertEqual(progress["data"]["processed"], 3)
        completed = await peer.take("job_completed")
        self.assertEqual(completed["data"], {"success": True, "finalCounts": {"issue": 3}})
        await peer.expect("job_request")

    @in_deferred
    async def test_progress_waits_for_the_ack(self) -> None:
        """A handler goes on only when the server has committed its report."""
        passed: list[str] = []

        async def handler(job: Job) -> None:
            await job.progress(1)
            passed.append("progress")

        peer = await self.begin(handler)
        await peer.take("job_started")
        report = await peer.expect("job_progress")
        self.assertEqual(passed, [])
        peer.acknowledge(report)
        await peer.take("job_completed")
        self.assertEqual(passed, ["progress"])

    @in_deferred
    async def test_without_acks_nothing_is_waited_for(self) -> None:
        """A crawler without the capability treats a written report as delivered."""
        peer = await self.begin(one_page, capabilities=())
        await peer.expect("job_started")
        await peer.expect("job_progress")
        await peer.expect("job_completed")
        await peer.expect("job_request")

    @in_deferred
    async def test_room_is_asked_for(self) -> None:
        """With one of two places taken, one more job is requested; a job sent twice runs once."""
        runs: list[str] = []

        async def handler(job: Job) -> None:
            runs.append(job.id)
            await Deferred()

        peer = await self.begin(handler, work(), max_jobs=2)
        await peer.take("job_started")
        self.assertEqual((await peer.expect("job_request"))["data"], {"limit": 1})
        peer.give(work())
        self.assertEqual((await peer.expect("job_request"))["data"], {"limit": 1})
        self.assertEqual(runs, ["j.1.x"])

    @in_deferred
    async def test_no_more_than_it_may(self) -> None:
        """It requests as many jobs as the server's welcome allows, and at most its own limit."""
        for granted, asked in ((2, 2), (9, 3)):
            self.crawl(one_page, max_jobs=3)
            peer = await self.server.peers.get()
            await peer.greet(jobs=granted)
            self.assertEqual((await peer.expect("job_request"))["data"], {"limit": asked})

    @in_deferred
    async def test_heartbeats(self) -> None:
        """Heartbeats come at the interval of the welcome and contain the state."""

        async def handler(job: Job) -> None:
            job.progress(5)
            await Deferred()

        self.crawl(handler)
        peer = await self.server.peers.get()
        await peer.greet(heartbeat=20)
        await peer.expect("job_request")
        beat = await peer.expect("heartbeat")
        self.assertEqual(beat["data"], {"activeJobs": 0, "totalProcessed": 0, "systemStatus": "idle"})
        peer.give(work(entity_type="areas"))
        message = await peer.messages.get()
        while message["type"] != "heartbeat" or message["data"]["activeJobs"] == 0:
            message = await peer.messages.get()
        self.assertEqual(message["data"], {"activeJobs": 1, "totalProcessed": 5, "systemStatus": "discovering"})

    @in_deferred
    async def test_resume(self) -> None:
        """A job brings the last cursor, and the page to go on with."""
        jobs: list[Job] = []

        async def handler(job: Job) -> None:
            jobs.append(job)

        peer = await self.begin(handler, {**work(), "resumeState": {"currentPage": 4}, "try": 2, "fullPath": "g/p"})
        await peer.take("job_started")
        [job] = jobs
        self.assertEqual((job.next_page, job.attempt, job.full_path), (5, 2, "g/p"))
        self.assertNotIn("token-1", repr(job))

    @in_deferred
    async def test_discoveries_are_cut_into_messages(self) -> None:
        """Many discovered jobs go out in several messages, the summary with the last."""

        async def handler(job: Job) -> None:
            found = (DiscoveredJob("crawl_project", str(n), f"g/p{n}", f"P{{{n}", priority=1) for n in range(201))
            await job.discover(found, {"total_projects": 201})

        peer = await self.begin(handler)
        await peer.take("job_started")
        first = (await peer.take("jobs_discovered"))["data"]
        second = (await peer.take("jobs_discovered"))["data"]
        self.assertEqual((len(first["discovered_jobs"]), "discovery_summary" in first), (200, False))
        self.assertEqual(second["discovery_summary"], {"total_projects": 201})
        self.assertEqual(
            second["discovered_jobs"],
            [
                {
                    "job_type": "crawl_project",
                    "entity_id": "200",
                    "namespace_path": "g/p200",
                    "entity_name": "P{200",
                    "priority": 1,
                }
            ],
        )


class FailureTests(CrawlerTestCase):
    """What a handler may raise, and what the server may refuse."""

    async def _failure(self, problem: Exception) -> dict[str, Any]:
        async def handler(job: Job) -> None:
            raise problem

        peer = await self.begin(handler)
        await peer.take("job_started")
        data: dict[str, Any] = (await peer.take("job_failed"))["data"]
        return data

    @in_deferred
    async def test_a_failure_for_good(self) -> None:
        """A JobFailure says for itself whether another attempt makes sense."""
        problem = JobFailure("gone", recoverable=False, resume_state={"currentPage": 2}, partial_counts={"issue": 4})
        self.assertEqual(
            await self._failure(problem),
            {
                "error": "gone",
                "errorType": "JobFailure",
                "isRecoverable": False,
                "resumeState": {"currentPage": 2},
                "partialCounts": {"issue": 4},
            },
        )

    @in_deferred
    async def test_any_other_exception(self) -> None:
        """An unexpected exception is recoverable, and reported with its traceback."""
        data = await self._failure(KeyError("iid"))
        self.assertEqual((data["errorType"], data["isRecoverable"]), ("KeyError", True))
        self.assertIn("KeyError: 'iid'", data["stackTrace"])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    @in_deferred
    async def test_a_stale_job_is_let_go(self) -> None:
        """A handler whose job was assigned to another is cancelled, and reports nothing more."""
        seen: list[type] = []
        cancelled: Deferred[None] = Deferred()

        async def handler(job: Job) -> None:
            try:
                await job.progress(1)
            except CancelledError:
                try:
                    await job.progress(2)
                except JobGone as error:
                    seen.append(type(error))
                cancelled.callback(None)
                raise

        peer = await self.begin(handler)
        await peer.take("job_started")
        report = await peer.expect("job_progress")
        peer.send("error", "j.1.x", code="stale_assignment", message="over", ref=report["id"])
        await cancelled
        self.assertEqual(seen, [JobGone])
        await peer.expect("job_request")

    @in_deferred
    async def test_nothing_more_is_said_of_a_stale_job(self) -> None:
        """Reports on a job that is over are forgotten, not sent again on the next connection."""

        async def handler(job: Job) -> None:
            job.progress(1)
            await job.progress(2)

        peer = await self.begin(handler)
        await peer.take("job_started")
        first = await peer.expect("job_progress")
        await peer.expect("job_progress")
        peer.send("error", "j.1.x", code="stale_assignment", message="over", ref=first["id"])
        await peer.expect("job_request")
        peer.transport.loseConnection()
        peer = await self.server.peers.get()
        self.assertEqual((await peer.greet())["data"]["assignments"], [])
        await peer.expect("job_request")

    @in_deferred
    async def test_a_refused_report_reaches_the_handler(self) -> None:
        """An error in reply to a report is raised in the handler."""
        caught: list[str] = []

        async def handler(job: Job) -> None:
            try:
                await job.progress(1)
            except ReportRefused as problem:
                caught.append(problem.code)

        peer = await self.begin(handler)
        await peer.take("job_started")
        report = await peer.expect("job_progress")
        peer.send("error", "j.1.x", code="internal", message="no", ref=report["id"])
        await peer.take("job_completed")
        self.assertEqual(caught, ["internal"])

    @in_deferred
    async def test_a_refused_completion_becomes_a_failure(self) -> None:
        """A job whose completion is refused is reported as failed."""
        peer = await self.begin(one_page)
        await peer.take("job_started")
        await peer.take("job_progress")
        last = await peer.expect("job_completed")
        await peer.expect("job_request")
        peer.send("error", "j.1.x", code="internal", message="no", ref=last["id"])
        self.assertTrue((await peer.take("job_failed"))["data"]["isRecoverable"])

    @in_deferred
    async def test_a_report_over_the_limit_is_not_sent(self) -> None:
        """A report larger than the server's limit raises an error in the handler, and is not sent."""
        caught: list[str] = []

        async def handler(job: Job) -> None:
            try:
                await job.progress(1, message="x" * 2000)
            except ReportRefused as problem:
                caught.append(problem.code)

        self.crawl(handler)
        peer = await self.server.peers.get()
        await peer.greet(limit=1000)
        await peer.expect("job_request")
        peer.give(work())
        await peer.take("job_started")
        await peer.take("job_completed")
        self.assertEqual(caught, ["message_too_large"])


class TokenTests(CrawlerTestCase):
    """New tokens."""

    @in_deferred
    async def test_a_new_token(self) -> None:
        """Concurrent calls share one request; both get the new token, as does the job."""
        got: list[str] = []

        async def handler(job: Job) -> None:
            first, second = job.refresh_token("401"), job.refresh_token()
            got.extend([await first, await second, job.access_token])

        peer = await self.begin(handler)
        await peer.take("job_started")
        asked = await peer.take("token_refresh_request")
        self.assertEqual(asked["data"], {"current_token_expired": True, "error_details": "401"})
        peer.send("token_refresh_response", "j.1.x", accessToken="token-2", expiresAt="2027", refreshSuccessful=True)
        await peer.take("job_completed")
        self.assertEqual(got, ["token-2"] * 3)

    @in_deferred
    async def test_no_new_token(self) -> None:
        """Where there is none, the handler that lets the refusal through fails recoverably."""

        async def handler(job: Job) -> None:
            with self.assertRaises(TokenRefused):
                await job.refresh_token()
            await job.refresh_token()

        peer = await self.begin(handler)
        await peer.take("job_started")
        for _ in range(2):
            await peer.expect("token_refresh_request")
            peer.send("token_refresh_response", "j.1.x", accessToken="", expiresAt="2027", refreshSuccessful=False)
        failed = await peer.take("job_failed")
        self.assertEqual((failed["data"]["errorType"], failed["data"]["isRecoverable"]), ("TokenRefused", True))


class ReconnectTests(CrawlerTestCase):
    """Connections come and go."""

    @in_deferred
    async def test_unacknowledged_reports_are_sent_again(self) -> None:
        """After a reconnect the crawler names what it holds and repeats, in order, what was not acknowledged."""
        peer = await self.begin(one_page)
        await peer.take("job_started")
        report = await peer.expect("job_progress")
        peer.transport.loseConnection()
        peer = await self.server.peers.get()
        hello = await peer.greet()
        self.assertEqual(hello["data"]["assignments"], ["j.1.x"])
        again = await peer.take("job_progress")
        self.assertEqual((again["id"], again["data"]), (report["id"], report["data"]))
        await peer.take("job_completed")

    @in_deferred
    async def test_a_report_is_sent_again_as_it_was(self) -> None:
        """A cursor that the handler has changed in place since is not reported before its page is crawled."""

        async def handler(job: Job) -> None:
            cursor = {"currentPage": 1}
            reported = job.progress(1, resume_state=cursor)
            cursor["currentPage"] = 2
            await reported

        peer = await self.begin(handler)
        await peer.take("job_started")
        await peer.expect("job_progress")
        peer.transport.loseConnection()
        peer = await self.server.peers.get()
        await peer.greet()
        self.assertEqual((await peer.take("job_progress"))["data"]["resumeState"], {"currentPage": 1})
        await peer.take("job_completed")

    @in_deferred
    async def test_a_lost_completion(self) -> None:
        """A job whose completion was not acknowledged is still held, and its completion repeated."""
        peer = await self.begin(one_page)
        await peer.take("job_started")
        await peer.take("job_progress")
        await peer.expect("job_completed")
        peer.transport.abortConnection()
        peer = await self.server.peers.get()
        self.assertEqual((await peer.greet())["data"]["assignments"], ["j.1.x"])
        await peer.take("job_completed")
        await peer.expect("job_request")

    @in_deferred
    async def test_a_stopping_node(self) -> None:
        """When its node stops, a crawler keeps its job and comes back; what it reports meanwhile waits."""
        go_on: Deferred[None] = Deferred()

        async def handler(job: Job) -> None:
            await go_on
            await job.progress(1)

        peer = await self.begin(handler)
        await peer.take("job_started")
        peer.send("shutdown", scope="node", graceful=True, timeout_seconds=0.02)
        await peer.gone
        go_on.callback(None)
        peer = await self.server.peers.get()
        self.assertEqual((await peer.greet())["data"]["assignments"], ["j.1.x"])
        await peer.take("job_progress")
        await peer.take("job_completed")

    @in_deferred
    async def test_asked_to_exit_gracefully(self) -> None:
        """A crawler requested to exit finishes its jobs, and fires `finished` when they are acknowledged."""
        go_on: Deferred[None] = Deferred()

        async def handler(job: Job) -> None:
            await go_on

        crawler = self.crawl(handler)
        peer = await self.server.peers.get()
        await peer.greet()
        await peer.expect("job_request")
        peer.give(work())
        await peer.take("job_started")
        peer.send("shutdown", scope="crawler", graceful=True, timeout_seconds=60)
        # Anything the crawler answers shows that it has read the request to exit.
        peer.give(work("k.1.y"))
        await peer.take("job_started")
        go_on.callback(None)
        await peer.take("job_completed")
        self.assertFalse(crawler.finished.called)
        await peer.take("job_completed")
        await peer.gone
        await crawler.finished

    @in_deferred
    async def test_asked_to_exit_at_once(self) -> None:
        """A crawler requested to exit without grace cancels its job, unreported."""
        handler_over: Deferred[None] = Deferred()

        async def handler(job: Job) -> None:
            try:
                await Deferred()
            finally:
                handler_over.callback(None)

        crawler = self.crawl(handler)
        peer = await self.server.peers.get()
        await peer.greet()
        await peer.expect("job_request")
        peer.give(work())
        await peer.take("job_started")
        peer.send("shutdown", scope="crawler", graceful=False, timeout_seconds=0)
        await handler_over
        await peer.gone
        await crawler.finished
        self.assertEqual(peer.messages.pending, [])

    @in_deferred
    async def test_an_unwelcome_crawler_comes_back_later(self) -> None:
        """A refused hello ends the connection, and the crawler reconnects."""
        self.crawl(one_page)
        peer = await self.server.peers.get()
        await peer.expect("hello")
        peer.send("error", code="unauthorized", message="who are you?")
        await peer.gone
        peer = await self.server.peers.get()
        await peer.greet()
        await peer.expect("job_request")

    @in_deferred
    async def test_rubbish_is_skipped(self) -> None:
        """Invalid lines, unknown types and invalid jobs are ignored."""
        peer = await self.begin(one_page, {"id": "half a job"})
        await peer.expect("job_request")
        peer.sendLine(b"\xff{not json")
        peer.sendLine(b"[]")
        peer.send("news", something="else")
        peer.give(work())
        await peer.take("job_started")
