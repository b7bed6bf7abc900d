"""Tokens that are refreshed before a job is sent."""

from cryptography.fernet import Fernet

from copilot_socket.core.jobs import Event
from copilot_socket.core.vault import Vault, access_token
from tests.handlers.support import Crawler
from tests.handlers.token_account import TokenTestCase
from tests.support.crawler import Message, until


class BeforeSendingTests(TokenTestCase):
    """No job is sent with a token that is about to expire."""

    async def test_refreshed_first(self) -> None:
        """A job whose token expires within 60 s is sent with a new one; one that lives longer is sent as it is."""
        await self.node()
        self.expires(65)
        self.add_jobs("g/1", account_id="lab")
        crawler = await self.crawler(maxJobs=9)
        self.assertEqual([job["accessToken"] for job in await crawler.ask()], ["access-1"])
        self.expires(55)
        self.add_jobs("g/2", "g/3", account_id="lab")
        crawler.say("job_request")
        jobs = await self.two_jobs(crawler)
        self.assertEqual({job["accessToken"] for job in jobs}, {"access-2"})
        self.assertEqual(self.gitlab.asked, 1)
        self.granted(await self.refreshed(crawler, jobs[0]["id"]), "access-3")

    async def two_jobs(self, crawler: Crawler) -> list[Message]:
        """Two jobs, in one response or two."""
        jobs: list[Message] = []
        while len(jobs) < 2:
            jobs += await crawler.answered()
        return jobs

    async def test_answered_meanwhile(self) -> None:
        """During a slow refresh the request is answered as empty; the job is pushed after the refresh."""
        await self.node()
        self.expires(5)
        self.gitlab.token.slow = True
        [job] = self.add_jobs("g/1", account_id="lab")
        crawler = await self.crawler(maxJobs=1)
        self.assertEqual(await crawler.ask(), [])
        self.add_jobs("g/2")
        self.assertEqual(await crawler.ask(), [])
        self.gitlab.token.release()
        sent = await crawler.job()
        self.assertEqual((sent["fullPath"], sent["accessToken"]), ("g/1", "access-2"))
        self.assertEqual(self.tries(job), [])

    async def test_cancelled_meanwhile(self) -> None:
        """A job that is cancelled while it waits for a token is not sent, and its room is free."""
        node = await self.node()
        self.expires(5)
        self.gitlab.token.slow = True
        [job] = self.add_jobs("g/1", account_id="lab")
        crawler = await self.crawler(maxJobs=1)
        self.assertEqual(await crawler.ask(), [])
        await node.transitions.apply([job], Event.CANCELLED)
        self.gitlab.token.release()
        await until(lambda: self.account("access_token") == ("access-2",))
        self.add_jobs("g/2")
        self.assertEqual((await crawler.job())["fullPath"], "g/2")
        self.assertEqual([name.partition(".")[0] == job for name in crawler.jobs()], [False])

    async def test_unexpected_error(self) -> None:
        """After any error with the token the job is returned."""
        await self.node(SOCKET_RETRY_DELAY=3_600_000)
        self.expires(5)
        self.gitlab.token.answer = (200, {"access_token": "nul\0"})
        [job] = self.add_jobs("g/1", account_id="lab")
        crawler = await self.crawler()
        self.assertEqual(await crawler.ask(), [])
        await until(lambda: self.tries(job) == ["returned"])
        self.assertEqual(self.status(job), "queued")

    async def test_its_crawler_left_meanwhile(self) -> None:
        """If the crawler leaves while its job waits for a token, another one gets the job; nothing is spent."""
        await self.node()
        self.expires(5)
        self.gitlab.token.slow = True
        [job] = self.add_jobs("g/1", account_id="lab")
        crawler, other = await self.crawler(), await self.crawler("other")
        await crawler.ask()
        await crawler.leave()
        self.assertEqual(await other.ask(), [])
        self.gitlab.token.release()
        sent = await other.job()
        self.assertEqual((sent["fullPath"], sent["try"]), ("g/1", 2))
        self.assertEqual((self.tries(job), self.row(job, "attempts", "releases")), (["returned"], (0, 0)))

    async def test_its_other_jobs_stay(self) -> None:
        """An account whose token is unavailable is parked, not claimed from again and again."""
        node = await self.node()
        self.expires(5)
        self.gitlab.token.answer = (503, {})
        self.add_jobs(*(f"g/{n}" for n in range(20)), account_id="lab")
        self.add_jobs("own")
        crawler = await self.crawler(maxJobs=2)
        crawler.say("job_request")
        self.assertEqual((await crawler.job())["fullPath"], "own")
        crawler.say("job_request")
        await until(lambda: node.dispatcher._parking.accounts, "the account is left out")
        self.assertEqual(await crawler.answered(), [])
        await self.quiet(crawler)
        self.assertLessEqual(self.query("SELECT count(*) FROM jobs WHERE tries > 0 AND account_id = 'lab'")[0][0], 3)

    async def test_one_that_no_key_decrypts(self) -> None:
        """An account whose stored token can't be decrypted is parked as well."""
        node = await self.node()
        self.query("UPDATE accounts SET access_token = 'fernet:xyz' WHERE id = 'lab'")
        self.add_jobs(*(f"g/{n}" for n in range(20)), account_id="lab")
        crawler = await self.crawler(maxJobs=2)
        crawler.say("job_request")
        await until(lambda: node.dispatcher._parking.accounts == {"lab"}, "the account is left out")
        self.assertEqual(await crawler.answered(), [])
        await self.quiet(crawler)
        self.assertLessEqual(self.query("SELECT count(*) FROM jobs WHERE tries > 0 AND account_id = 'lab'")[0][0], 3)

    async def test_in_another_row(self) -> None:
        """A stored token that was copied to another account's row, or whose account was moved, is not sent."""
        key = Fernet.generate_key().decode()
        await self.node(COPILOT_SECRET_KEY=key)
        url = self.gitlab.url
        stored = Vault([key]).encrypt("access-1", access_token("lab", url))
        self.query(
            "UPDATE accounts SET access_token = %s, gitlab_url = gitlab_url || '/api/v4' WHERE id = 'lab'", stored
        )
        self.add_jobs("g/1", account_id="lab")
        crawler = await self.crawler(maxJobs=2)
        [job] = await crawler.ask()
        self.assertEqual(job["accessToken"], "access-1")
        await crawler.leave()
        self.query("DELETE FROM jobs")
        for account, where in (("thief", url), ("lab", "https://thief.test")):
            self.query(
                "INSERT INTO accounts (id, provider, gitlab_url, access_token) VALUES (%s, 'gitlab-onprem', %s, %s)"
                " ON CONFLICT (id) DO UPDATE SET gitlab_url = excluded.gitlab_url",
                *(account, where, stored),
            )
            [job] = self.add_jobs("g/1", account_id=account)
            crawler = await self.crawler(maxJobs=2)
            crawler.say("job_request")
            tried = "SELECT tries > 0 FROM jobs WHERE id = %s"
            await until(lambda job=job, tried=tried: self.query(tried, job) == [(True,)], "it was claimed")
            self.assertEqual(await crawler.answered(), [])
            await self.quiet(crawler)
            await crawler.leave()
            self.query("DELETE FROM jobs")

    async def test_a_second_connection_meanwhile(self) -> None:
        """A job that waits for a token is sent once, over the connection of the last request."""
        await self.node()
        self.expires(5)
        self.gitlab.token.slow = True
        self.add_jobs("g/1", account_id="lab")
        crawler = await self.crawler(maxJobs=1)
        self.assertEqual(await crawler.ask(), [])
        again = await self.crawler(maxJobs=1)
        self.assertEqual(await again.ask(), [])
        self.gitlab.token.release()
        self.assertEqual((await again.job())["fullPath"], "g/1")
        await self.quiet(crawler, again)

    async def test_refused(self) -> None:
        """If a new token is refused the job waits for its credential, unsent; its crawler gets other work."""
        node = await self.node()
        self.expires(5)
        self.gitlab.token.valid = "another"
        [job] = self.add_jobs("g/1", account_id="lab", priority=5)
        self.add_jobs("g/2")
        crawler = await self.crawler(maxJobs=1)
        crawler.say("job_request")
        first = await crawler.job()
        self.assertEqual(first["fullPath"], "g/2")
        crawler.say("job_completed", first["id"], success=True, finalCounts={})
        crawler.say("job_request")
        await self.becomes(job, "waiting_credential")
        self.assertEqual(self.tries(job), ["credential"])
        self.assertEqual(self.row(job, "attempts", "releases"), (0, 0))
        await self.renew(node)
        self.assertEqual((await crawler.job())["try"], 2)

    async def test_impossible_for_now(self) -> None:
        """If GitLab is down the job is delayed, unsent, and sent when GitLab is up again."""
        await self.node(SOCKET_RETRY_DELAY=300)
        self.expires(5)
        self.gitlab.token.answer = (503, {})
        [job] = self.add_jobs("g/1", account_id="lab")
        crawler = await self.crawler()
        self.assertEqual(await crawler.ask(), [])
        await until(lambda: self.tries(job) == ["returned"])
        self.assertEqual((self.status(job), self.row(job, "attempts", "releases")), ("queued", (0, 0)))
        self.gitlab.token.answer = None
        self.assertEqual((await crawler.job())["accessToken"], "access-2")
