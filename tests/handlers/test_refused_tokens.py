"""Accounts whose GitLab refuses a new token: their jobs, and renewals."""

from copilot_socket.node import Node
from tests.handlers.support import PROGRESS, Crawler
from tests.handlers.token_account import TokenTestCase
from tests.support.crawler import until


class RefusedTests(TokenTestCase):
    """GitLab refuses the refresh token."""

    async def refused_job(self, **settings: object) -> tuple[Node, Crawler, str]:
        """A crawler that was refused a token."""
        node = await self.node(**settings)
        crawler, job = await self.at_work()
        self.gitlab.token.valid = "another"
        self.refused(await self.refreshed(crawler, job))
        self.assertEqual(self.account("credential_status", "access_token"), ("expired", "access-1"))
        return node, crawler, job

    async def test_why(self) -> None:
        """Account, attempt and error log hold the reason; a renewal clears it from the account."""
        node, crawler, job = await self.refused_job()
        error, checked = self.account("credential_error", "credential_checked_at > now() - interval '1 minute'")
        self.assertIn("invalid_grant", error)
        self.assertTrue(checked)
        await crawler.fail(job)
        [(reason,)] = self.query("SELECT reason FROM job_tries")
        self.assertEqual(reason, f"no new token: {error}")
        [(message, resolution)] = self.query("SELECT error_message, resolution FROM job_error_log")
        self.assertEqual((message, "credential" in resolution), ("no", True))
        await self.renew(node)
        self.assertEqual(self.account("credential_error", "credential_checked_at"), (None, None))

    async def test_its_queued_jobs(self) -> None:
        """They are held back, at every node, without a write to any of them; a renewal lets them go."""
        node, crawler, job = await self.refused_job()
        await crawler.fail(job)
        other = await self.node()
        elsewhere = await self.crawler("elsewhere", node=other, maxJobs=9)
        queued = self.add_jobs(*(f"g/{number}" for number in range(5)), account_id="lab")
        for each in (crawler, elsewhere):
            self.assertEqual(await each.ask(), [])
        untouched = "SELECT DISTINCT status, tries FROM jobs WHERE id = ANY (%s)"
        self.assertEqual(self.query(untouched, queued), [("queued", 0)])
        await crawler.leave()
        await self.renew(node)
        sent = len(await elsewhere.answered())
        while sent < 6:  # the job that had failed is queued a moment later
            sent += len(await elsewhere.ask())

    async def test_known_from_the_start(self) -> None:
        """A node that starts afterwards holds them back as well."""
        self.query("UPDATE accounts SET credential_status = 'expired' WHERE id = 'lab'")
        [job] = self.add_jobs("g/1", account_id="lab")
        node = await self.node()
        crawler = await self.crawler()
        await until(lambda: node.dispatcher._parking.invalid == {"lab"}, "the account is parked")
        self.assertEqual(await crawler.ask(), [])
        self.assertEqual((self.status(job), self.tries(job)), ("queued", []))

    async def test_one_refresh_decides(self) -> None:
        """While the first 401 of an account is looked into, no more of its jobs are claimed."""
        await self.node()
        crawler, job = await self.at_work()
        self.gitlab.token.slow = True
        await crawler.fail(job, cause="credential")
        self.add_jobs(*(f"g/{number}" for number in range(5)), account_id="lab")
        self.assertEqual(await crawler.ask(), [])
        other = await self.crawler("other", maxJobs=9)
        self.assertEqual(await other.ask(), [])
        [(claimed,)] = self.query("SELECT count(*) FROM jobs WHERE status = 'assigned'")
        self.assertLessEqual(claimed, 2)
        self.gitlab.token.release()
        self.assertEqual((await crawler.job())["accessToken"], "access-2")
        self.assertEqual(self.gitlab.asked, 1)

    async def test_then_a_failure(self) -> None:
        """The failure that follows parks the job and spends no attempt; a renewal queues it, and it is pushed."""
        await self.parked_and_renewed(recoverable=True)

    async def test_then_one_for_good(self) -> None:
        """So does a failure that is not recoverable."""
        await self.parked_and_renewed(recoverable=False)

    async def parked_and_renewed(self, recoverable: bool) -> None:
        """Play a refusal, a failure, a renewal and a second attempt."""
        node, crawler, job = await self.refused_job()
        await crawler.fail(job, recoverable)
        self.assertEqual((self.status(job), self.row(job, "attempts", "releases")), ("waiting_credential", (0, 0)))
        self.assertEqual(self.tries(job), ["credential"])
        self.assertEqual(await crawler.ask(), [])
        await self.renew(node)
        again = await crawler.job()
        self.assertEqual((again["accessToken"], again["try"]), ("renewed", 2))
        crawler.say("job_completed", again["id"], id="c", success=True, finalCounts={})
        self.assertEqual((await crawler.answer("c"))["type"], "ack")

    async def test_then_nothing(self) -> None:
        """If the crawler reports nothing more, the job is parked at the grace."""
        _, _, job = await self.refused_job(SOCKET_RECONNECT_GRACE=200)
        await self.becomes(job, "waiting_credential")
        self.assertEqual((self.tries(job), self.row(job, "attempts")), (["credential"], 0))

    async def test_then_progress(self) -> None:
        """A crawler that goes on reporting keeps the job, and may complete it."""
        node, crawler, job = await self.refused_job()
        crawler.say("job_progress", job, id="p", **PROGRESS)
        await crawler.answer("p")
        times = ("assigned_at", "reported_at", "credential_refused_at")
        earlier = ", ".join(f"{each} = {each} - interval '1 min'" for each in times)  # than a grace ago
        self.query(f"UPDATE job_assignments SET {earlier}")
        await node.presence.time_out()
        crawler.say("job_completed", job, id="c", success=True, finalCounts={})
        self.assertEqual((await crawler.answer("c"))["type"], "ack")

    async def test_then_gone(self) -> None:
        """If the crawler leaves after the refusal, neither an attempt nor a release is spent."""
        _, crawler, job = await self.refused_job(SOCKET_RECONNECT_GRACE=100)
        await crawler.leave()
        await self.becomes(job, "waiting_credential")
        self.assertEqual(self.row(job, "attempts", "releases"), (0, 0))

    async def test_requested_again(self) -> None:
        """Further requests are refused without a refresh; other jobs of the account wait, too."""
        _, crawler, job = await self.refused_job()
        asked = self.gitlab.asked
        self.refused(await self.refreshed(crawler, job))
        [other] = self.add_jobs("g/other", account_id="lab")
        self.assertEqual(await crawler.ask(), [])
        self.assertEqual((self.status(other), self.gitlab.asked), ("queued", asked))

    async def test_renewed_before_the_failure(self) -> None:
        """After a renewal between refusal and failure the job is queued again immediately."""
        node, crawler, job = await self.refused_job()
        await self.renew(node)
        await crawler.fail(job)
        self.assertEqual((self.status(job), self.row(job, "attempts")), ("queued", 0))

    async def test_renewed_at_the_same_moment(self) -> None:
        """After a renewal concurrent with the failure's commit the next round queues the job."""
        node, crawler, job = await self.refused_job()
        await crawler.fail(job)
        self.assertEqual(self.status(job), "waiting_credential")
        self.query("UPDATE accounts SET credential_status = 'valid', token_generation = token_generation + 1")
        await node.presence.time_out()
        self.assertEqual(self.status(job), "queued")

    async def test_granted_after_all(self) -> None:
        """Once the crawler has got a token after all, a failure counts as usual."""
        node, crawler, job = await self.refused_job()
        await self.renew(node)
        self.assertEqual((await self.refreshed(crawler, job))["accessToken"], "renewed")
        await crawler.fail(job)
        self.assertEqual((self.tries(job), self.row(job, "attempts")), (["failed"], 1))

    async def test_never_a_token(self) -> None:
        """For unknown jobs, ended attempts and others' jobs the answer has no token, and nothing is stored."""
        await self.node()
        crawler, job = await self.at_work()
        thief = await self.crawler("thief")
        self.refused(await self.refreshed(thief, job))
        self.refused(await self.refreshed(thief, "made.1.up"))
        self.assertEqual(self.query("SELECT credential_refused_at FROM job_assignments"), [(None,)])
        crawler.say("job_completed", job, id="c", success=True, finalCounts={})
        await crawler.answer("c")
        self.refused(await self.refreshed(crawler, job))
        self.assertEqual(self.gitlab.asked, 0)

    async def test_no_refresh_token(self) -> None:
        """An account without a refresh token is refused without a refresh."""
        await self.node()
        crawler, job = await self.at_work()
        self.query("UPDATE accounts SET refresh_token = NULL WHERE id = 'lab'")
        self.refused(await self.refreshed(crawler, job))
        self.assertEqual((self.gitlab.asked, self.account("credential_status")), (0, ("expired",)))
        self.assertEqual(self.account("credential_error"), ("no refresh token",))
        await crawler.fail(job)
        self.assertEqual(self.query("SELECT reason FROM job_tries"), [("no new token: no refresh token",)])
