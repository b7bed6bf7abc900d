"""Token requests of crawlers, with a fake GitLab."""

from cryptography.fernet import Fernet
from twisted.internet.defer import Deferred, gatherResults

from copilot_socket.core.vault import Vault, access_token, client_secret, refresh_token
from copilot_socket.handlers import messages as messages_module
from copilot_socket.handlers.dispatch import delivery
from tests.handlers.token_account import CLIENT, TokenTestCase
from tests.support.crawler import until
from tests.support.postgres import admin


class RefreshTests(TokenTestCase):
    """A crawler's token has expired."""

    async def test_a_new_pair(self) -> None:
        """The new pair is stored before the crawler gets it; the request is in GitLab's form."""
        await self.node(GITLAB_URL=self.gitlab.url, GITLAB_CLIENT_ID="an-id", GITLAB_CLIENT_SECRET="a-secret")
        crawler, job = await self.at_work()
        self.granted(await self.refreshed(crawler, job), "access-2")
        stored = self.account("access_token", "refresh_token", "credential_status")
        self.assertEqual(stored, ("access-2", "refresh-2", "valid"))
        [form] = self.gitlab.token.asked
        self.assertEqual(
            form,
            {
                "grant_type": ["refresh_token"],
                "refresh_token": ["refresh-1"],
                "client_id": ["an-id"],
                "client_secret": ["a-secret"],
            },
        )
        self.granted(await self.refreshed(crawler, job), "access-3")

    async def test_a_client_of_another_origin(self) -> None:
        """The secret of an OAuth client is sent only to its own GitLab."""
        await self.node(GITLAB_URL="http://127.0.0.1:9", GITLAB_CLIENT_ID="an-id", GITLAB_CLIENT_SECRET="a-secret")
        self.granted(await self.refreshed(*await self.at_work()), "access-2")
        self.assertEqual(self.gitlab.token.asked, [{"grant_type": ["refresh_token"], "refresh_token": ["refresh-1"]}])

    async def test_a_client_of_the_table(self) -> None:
        """Other GitLabs have their clients in a table, with secrets encrypted; a row overrides the variables."""
        key = Fernet.generate_key().decode()
        await self.node(
            COPILOT_SECRET_KEY=key, GITLAB_URL=self.gitlab.url, GITLAB_CLIENT_ID="x", GITLAB_CLIENT_SECRET="y"
        )
        self.query(
            "INSERT INTO oauth_clients (origin, client_id, client_secret, redirect_uri) VALUES (%s, 'a', %s, 'http://r')",
            self.gitlab.url.removesuffix("/sub"),
            Vault([key]).encrypt("b", client_secret(self.gitlab.url.removesuffix("/sub"))),
        )
        crawler, job = await self.at_work()
        self.granted(await self.refreshed(crawler, job), "access-2")
        self.query("UPDATE oauth_clients SET client_secret = NULL, redirect_uri = NULL")
        self.granted(await self.refreshed(crawler, job), "access-3")
        first, second = ({name: form.get(name) for name in CLIENT} for form in self.gitlab.token.asked)
        self.assertEqual(first, {"client_id": ["a"], "client_secret": ["b"], "redirect_uri": ["http://r"]})
        self.assertEqual(second, {"client_id": ["a"], "client_secret": None, "redirect_uri": None})

    async def test_the_address_of_an_api(self) -> None:
        """An account whose URL is that of an API is refreshed at its GitLab."""
        await self.node()
        crawler, job = await self.at_work()
        for number, path in enumerate(("/api/v4", "/api/graphql/"), 2):
            self.query("UPDATE accounts SET gitlab_url = %s WHERE id = 'lab'", self.gitlab.url + path)
            self.granted(await self.refreshed(crawler, job), f"access-{number}")

    async def test_encrypted(self) -> None:
        """With a key the stored token is encrypted, the sent one is not."""
        key = Fernet.generate_key().decode()
        await self.node(COPILOT_SECRET_KEY=key)
        vault = Vault([key])
        places = access_token("lab", self.gitlab.url), refresh_token("lab", self.gitlab.url)
        self.query(
            "UPDATE accounts SET access_token = %s, refresh_token = %s WHERE id = 'lab'",
            vault.encrypt("access-1", places[0]),
            vault.encrypt("refresh-1", places[1]),
        )
        self.add_jobs("g/p", account_id="lab")
        crawler = await self.crawler()
        [job] = await crawler.ask()
        self.assertEqual(job["accessToken"], "access-1")
        self.granted(await self.refreshed(crawler, job["id"]), "access-2")
        stored = self.account("access_token", "refresh_token")
        self.assertTrue(all(item.startswith("fernet:") for item in stored), stored)
        self.assertEqual(list(map(vault.decrypt, stored, places)), ["access-2", "refresh-2"])

    async def test_a_lost_key(self) -> None:
        """Without the key jobs are delayed and token requests get no token; no job is stuck or account expired."""
        self.patch(delivery, "MOST", 0.05)
        node = await self.node(SOCKET_RETRY_DELAY=3_600_000)
        crawler, job = await self.at_work()
        self.query("UPDATE accounts SET refresh_token = 'fernet:x', access_token = 'fernet:y' WHERE id = 'lab'")
        self.refused(await self.refreshed(crawler, job))
        for number, expiry in enumerate((None, 5), 1):
            if expiry:
                self.expires(expiry)
            [queued] = self.add_jobs(f"g/{number}", account_id="lab")
            self.assertEqual(await crawler.ask(), [])
            await until(lambda queued=queued: self.tries(queued) == ["returned"])
            self.assertEqual(self.status(queued), "queued")
        self.assertEqual(self.account("credential_status"), ("valid",))
        await until(lambda: [list(item.held) for item in node.registry] == [[job]], "nothing waits for a token")

    async def test_two_at_once(self) -> None:
        """Simultaneous requests of two crawlers of one account share a refresh and get the same token."""
        await self.node()
        one, two = await self.at_work("one", path="g/1"), await self.at_work("two", path="g/2")
        self.gitlab.token.slow = True
        answers = [Deferred.fromCoroutine(self.refreshed(*who)) for who in (one, two)]
        await until(lambda: self.gitlab.asked == 1)
        self.gitlab.token.release()
        for data in await gatherResults(answers):
            self.granted(data, "access-2")
        self.assertEqual(self.gitlab.asked, 1)

    async def test_one_that_is_behind(self) -> None:
        """A crawler whose token is older than the account's gets the current one, without a refresh."""
        await self.node()
        one, two = await self.at_work("one", path="g/1"), await self.at_work("two", path="g/2")
        self.granted(await self.refreshed(*one), "access-2")
        self.granted(await self.refreshed(*two), "access-2")
        self.assertEqual(self.gitlab.asked, 1)
        self.granted(await self.refreshed(*two), "access-3")

    async def test_sent_again_with_the_current_one(self) -> None:
        """A job is sent again with the current token, and a request after that is for a newer one."""
        await self.node()
        one, (two, job) = await self.at_work("one", path="g/1"), await self.at_work("two", path="g/2")
        self.granted(await self.refreshed(*one), "access-2")
        await two.leave()
        back = await self.crawler("two")
        self.assertEqual([item["accessToken"] for item in await back.ask()], ["access-2"])
        self.granted(await self.refreshed(back, job), "access-3")

    async def test_lifetime_unknown(self) -> None:
        """If GitLab gives no lifetime, the answer has its default of two hours."""
        self.gitlab.token.lifetime = None
        await self.node()
        self.granted(await self.refreshed(*await self.at_work()), "access-2")
        self.assertEqual(self.account("token_expires_at"), (None,))

    async def test_after_a_renewal_by_hand(self) -> None:
        """A renewal during a refresh is not overwritten by the pair that arrives later."""
        node = await self.node()
        crawler, job = await self.at_work()
        self.gitlab.token.slow = True
        answer = Deferred.fromCoroutine(self.refreshed(crawler, job))
        await until(lambda: self.gitlab.asked)
        await self.renew(node)
        self.gitlab.token.release()
        self.assertEqual((await answer)["accessToken"], "renewed")
        self.assertEqual(self.account("access_token", "refresh_token"), ("renewed", "refresh-renewed"))

    async def test_a_plain_crawler_that_waits_for_one(self) -> None:
        """A token request counts as a report: the next poll does not release the job."""
        from copilot_socket.handlers import messages

        self.patch(messages, "PLAIN_PATIENCE", 0.0)
        await self.node()
        plain = await self.connect(delimiter=b"")
        job = await self.given(plain, account_id="lab")
        self.granted(await self.refreshed(plain, job), "access-2")
        self.assertEqual(await plain.ask(), [])
        self.assertEqual(self.status(job), "assigned")

    async def test_short_lives(self) -> None:
        """If tokens live for less than a minute jobs are still sent, without a refresh for each."""
        self.gitlab.token.lifetime = 5
        await self.node()
        self.expires(5)
        crawler = await self.crawler(maxJobs=9)
        for path in ("g/1", "g/2", "g/3"):
            self.add_jobs(path, account_id="lab")
            crawler.say("job_request")
            self.assertEqual((await crawler.job())["accessToken"], "access-2")
        self.assertEqual(self.gitlab.asked, 1)
        self.assertLess(self.account("extract(epoch FROM token_expires_at - now())::float8")[0], 60.1)


class MentionTests(TokenTestCase):
    """A token request names the job: it counts as a report."""

    async def test_it_keeps_the_job(self) -> None:
        """A crawler that comes back without a list keeps the job that a token request names."""
        node = await self.node()
        crawler, job = await self.at_work()
        await crawler.leave()
        back = await self.crawler()
        self.granted(await self.refreshed(back, job), "access-2")
        self.assertEqual(self.query("SELECT confirm_by, reported_at IS NULL FROM job_assignments"), [(None, False)])
        await self.past_a_grace(node)
        self.assertEqual((self.status(job), self.tries(job)), ("assigned", []))

    async def test_the_database_is_slow(self) -> None:
        """The answer waits for that up to MENTIONED_WITHIN."""
        self.patch(messages_module, "MENTIONED_WITHIN", 0.05)
        node = await self.node()
        crawler, job = await self.at_work()
        with admin(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN; LOCK TABLE jobs")
            self.granted(await self.refreshed(crawler, job), "access-2")
        await node.writer.drained()
