"""Tokens: asked for by crawlers, refreshed before a job is sent, refused, renewed; against a small fake GitLab."""

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.fernet import Fernet
from twisted.internet.defer import Deferred, gatherResults

from copilot_socket import node as node_module
from copilot_socket.core.jobs import Event
from copilot_socket.core.vault import Vault
from copilot_socket.handlers import messages as messages_module
from copilot_socket.handlers import posting
from copilot_socket.handlers import tokens as tokens_module
from copilot_socket.handlers.tokens import Unavailable
from copilot_socket.node import Node
from copilot_socket.store.accounts import Accounts, Credential
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.sql import sql
from tests.handlers.gitlab import FakeGitLab
from tests.handlers.support import PROGRESS, Crawler, NodeTestCase
from tests.support.crawler import Message, until
from tests.support.postgres import admin

CLIENT = ("client_id", "client_secret", "redirect_uri")


class TokenTestCase(NodeTestCase):
    """An account ``lab`` at a fake GitLab, with the pair access-1 and refresh-1."""

    def setUp(self) -> None:
        super().setUp()
        self.gitlab = FakeGitLab()
        self.addCleanup(self.gitlab.stop)
        self.add_account("lab", self.gitlab.url + "/", access_token="access-1", refresh_token="refresh-1")

    async def at_work(self, name: str = "one", node: Node | None = None, path: str = "g/p") -> tuple[Crawler, str]:
        """A crawler with a job of the account."""
        crawler = await self.crawler(name, node)
        return crawler, await self.given(crawler, path, account_id="lab")

    async def refreshed(self, crawler: Crawler, job: str) -> Message:
        """What a crawler is answered when it asks for a new token."""
        crawler.say("token_refresh_request", job, current_token_expired=True)
        answer = await crawler.expect("token_refresh_response")
        self.assertEqual(answer["jobId"], job)
        self.assertEqual(set(answer["data"]), {"accessToken", "expiresAt", "refreshSuccessful"})
        data: Message = answer["data"]
        return data

    def granted(self, data: Message, token: str) -> None:
        """*data* gives *token*, for about the lifetime that GitLab said."""
        self.assertEqual((data["accessToken"], data["refreshSuccessful"]), (token, True))
        self.assertLess(abs(until_(data) - 7200), 10)

    def refused(self, data: Message) -> None:
        """*data* says that there is no new token."""
        self.assertEqual((data["accessToken"], data["refreshSuccessful"]), ("", False))
        self.assertLess(abs(until_(data)), 10)

    def account(self, *columns: str) -> tuple[Any, ...]:
        """Columns of the account's row."""
        return self.query(f"SELECT {', '.join(columns)} FROM accounts WHERE id = 'lab'")[0]

    def expires(self, seconds: float) -> None:
        """The account's token expires in so many seconds."""
        self.query("UPDATE accounts SET token_expires_at = now() + %s * interval '1 s' WHERE id = 'lab'", seconds)

    def at_once(self) -> None:
        """Let GitLab be asked again at once."""
        self.query("UPDATE accounts SET refresh_after = NULL WHERE id = 'lab'")

    def wait(self) -> float:
        """Seconds until GitLab may be asked again."""
        return float(self.account("extract(epoch FROM refresh_after - now())::float8")[0])

    async def renew(self, node: Node, token: str = "renewed") -> None:
        """Someone renews the account's credential."""
        accounts = Accounts(node.database, Vault(), node.transitions, node.dispatcher.wake)
        self.assertTrue(await accounts.renew("lab", Credential(token, "refresh-renewed")))


def until_(data: Message) -> float:
    """Seconds until the answer's token expires."""
    return (datetime.fromisoformat(data["expiresAt"]) - datetime.now(UTC)).total_seconds()


class RefreshTests(TokenTestCase):
    """A crawler's token has expired."""

    async def test_a_new_pair(self) -> None:
        """The new pair is stored before the crawler sees it; the grant is asked for as GitLab wants it."""
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
        """The secret of an OAuth client goes to no other GitLab than its own."""
        await self.node(GITLAB_URL="http://127.0.0.1:9", GITLAB_CLIENT_ID="an-id", GITLAB_CLIENT_SECRET="a-secret")
        self.granted(await self.refreshed(*await self.at_work()), "access-2")
        self.assertEqual(self.gitlab.token.asked, [{"grant_type": ["refresh_token"], "refresh_token": ["refresh-1"]}])

    async def test_a_client_of_the_table(self) -> None:
        """Further GitLabs have their clients in a table, their secrets encrypted; a row beats the variables."""
        key = Fernet.generate_key().decode()
        await self.node(
            COPILOT_SECRET_KEY=key, GITLAB_URL=self.gitlab.url, GITLAB_CLIENT_ID="x", GITLAB_CLIENT_SECRET="y"
        )
        self.query(
            "INSERT INTO oauth_clients (origin, client_id, client_secret, redirect_uri) VALUES (%s, 'a', %s, 'http://r')",
            self.gitlab.url.removesuffix("/sub"),
            Vault([key]).encrypt("b"),
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
        """With a key, what is stored is not the token, and what is sent is."""
        key = Fernet.generate_key().decode()
        await self.node(COPILOT_SECRET_KEY=key)
        vault = Vault([key])
        self.query(
            "UPDATE accounts SET access_token = %s, refresh_token = %s WHERE id = 'lab'",
            vault.encrypt("access-1"),
            vault.encrypt("refresh-1"),
        )
        self.add_jobs("g/p", account_id="lab")
        crawler = await self.crawler()
        [job] = await crawler.ask()
        self.assertEqual(job["accessToken"], "access-1")
        self.granted(await self.refreshed(crawler, job["id"]), "access-2")
        stored = self.account("access_token", "refresh_token")
        self.assertTrue(all(item.startswith("fernet:") for item in stored), stored)
        self.assertEqual([vault.decrypt(item) for item in stored], ["access-2", "refresh-2"])

    async def test_a_lost_key(self) -> None:
        """Without the key jobs are put off and token requests refused for now; nothing is stuck, nothing expired."""
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
        await until(lambda: not any(item.reserved for item in node.registry), "no room is reserved any more")

    async def test_two_at_once(self) -> None:
        """Two crawlers of one account that ask at once share one refresh and get the same token."""
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
        """A job that is sent again comes with the token of now, and a request after that is for a newer one."""
        await self.node()
        one, (two, job) = await self.at_work("one", path="g/1"), await self.at_work("two", path="g/2")
        self.granted(await self.refreshed(*one), "access-2")
        await two.leave()
        back = await self.crawler("two")
        self.assertEqual([item["accessToken"] for item in await back.ask()], ["access-2"])
        self.granted(await self.refreshed(back, job), "access-3")

    async def test_lifetime_unknown(self) -> None:
        """Where GitLab does not say how long a token lives, the crawler is told its usual two hours."""
        self.gitlab.token.lifetime = None
        await self.node()
        self.granted(await self.refreshed(*await self.at_work()), "access-2")
        self.assertEqual(self.account("token_expires_at"), (None,))

    async def test_after_a_renewal_by_hand(self) -> None:
        """A renewal while GitLab was being asked is not overwritten by the pair that comes later."""
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
        """A request for a token counts as a report: the job is not taken for lost by the next poll."""
        from copilot_socket.handlers import messages

        self.patch(messages, "PLAIN_PATIENCE", 0.0)
        await self.node()
        plain = await self.connect(delimiter=b"")
        job = await self.given(plain, account_id="lab")
        self.granted(await self.refreshed(plain, job), "access-2")
        self.assertEqual(await plain.ask(), [])
        self.assertEqual(self.status(job), "assigned")

    async def test_short_lives(self) -> None:
        """Where tokens live for less than a minute, jobs are sent all the same, and one refresh does for a while."""
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
    """A request for a token names the job: it counts as a report."""

    async def test_it_keeps_the_job(self) -> None:
        """A crawler that is back without saying what it holds keeps what it asks a token for."""
        node = await self.node(SOCKET_RECONNECT_GRACE=200)
        crawler, job = await self.at_work()
        await crawler.leave()
        back = await self.crawler()
        self.granted(await self.refreshed(back, job), "access-2")
        self.assertEqual(self.query("SELECT confirm_by, reported_at IS NULL FROM job_assignments"), [(None, False)])
        await self.past_a_grace(node)
        self.assertEqual((self.status(job), self.tries(job)), ("assigned", []))

    async def test_the_database_is_slow(self) -> None:
        """The answer does not wait for that for ever."""
        self.patch(messages_module, "MENTIONED_WITHIN", 0.05)
        node = await self.node()
        crawler, job = await self.at_work()
        with admin(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN; LOCK TABLE jobs")
            self.granted(await self.refreshed(crawler, job), "access-2")
        await node.writer.drained()


class RefusedTests(TokenTestCase):
    """GitLab says no."""

    async def refused_job(self, **settings: object) -> tuple[Node, Crawler, str]:
        """A crawler that was refused a token."""
        node = await self.node(**settings)
        crawler, job = await self.at_work()
        self.gitlab.token.valid = "another"
        self.refused(await self.refreshed(crawler, job))
        self.assertEqual(self.account("credential_status", "access_token"), ("expired", "access-1"))
        return node, crawler, job

    async def test_why(self) -> None:
        """Account, try and error log say why there is no token; a renewed account says nothing of it any more."""
        node, crawler, job = await self.refused_job()
        error, checked = self.account("credential_error", "credential_checked_at > now() - interval '1 minute'")
        self.assertIn("invalid_grant", error)
        self.assertTrue(checked)
        await crawler.fail(job)
        [(reason,)] = self.query("SELECT reason FROM job_tries")
        self.assertEqual(reason, f"no new token: {error}")
        [(message, resolution)] = self.query("SELECT error_message, resolution FROM job_error_log")
        self.assertEqual((message, "credential" in resolution), ("no", True))
        [unsent] = self.add_jobs("g/other", account_id="lab")
        await crawler.ask()
        await self.becomes(unsent, "waiting_credential")
        self.assertEqual(
            self.query("SELECT reason FROM job_tries WHERE job_id = %s", unsent), [(f"no new token: {error}",)]
        )
        await self.renew(node)
        self.assertEqual(self.account("credential_error", "credential_checked_at"), (None, None))

    async def test_then_a_failure(self) -> None:
        """The failure that follows parks the job without spending a try; a renewal queues it, and it is pushed."""
        await self.parked_and_renewed(recoverable=True)

    async def test_then_one_for_good(self) -> None:
        """So does a failure that the crawler holds to be final."""
        await self.parked_and_renewed(recoverable=False)

    async def parked_and_renewed(self, recoverable: bool) -> None:
        """A refusal, a failure, a renewal, a second try."""
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
        """A crawler that says nothing more about the job has it parked at the grace."""
        _, _, job = await self.refused_job(SOCKET_RECONNECT_GRACE=200)
        await self.becomes(job, "waiting_credential")
        self.assertEqual((self.tries(job), self.row(job, "attempts")), (["credential"], 0))

    async def test_then_progress(self) -> None:
        """A crawler that goes on reporting keeps the job, and may complete it."""
        node, crawler, job = await self.refused_job(SOCKET_RECONNECT_GRACE=150)
        crawler.say("job_progress", job, id="p", **PROGRESS)
        await crawler.answer("p")
        end = self.now() + 0.2
        await until(lambda: self.now() > end)
        await node.presence.time_out()
        crawler.say("job_completed", job, id="c", success=True, finalCounts={})
        self.assertEqual((await crawler.answer("c"))["type"], "ack")

    async def test_then_gone(self) -> None:
        """A crawler that goes away after it was refused costs the job neither a try nor a release."""
        _, crawler, job = await self.refused_job(SOCKET_RECONNECT_GRACE=100)
        await crawler.leave()
        await self.becomes(job, "waiting_credential")
        self.assertEqual(self.row(job, "attempts", "releases"), (0, 0))

    async def test_asked_again(self) -> None:
        """A second request is refused without asking GitLab, and so are other jobs of the account, which wait too."""
        _, crawler, job = await self.refused_job()
        asked = self.gitlab.asked
        self.refused(await self.refreshed(crawler, job))
        [other] = self.add_jobs("g/other", account_id="lab")
        self.assertEqual(await crawler.ask(), [])
        await self.becomes(other, "waiting_credential")
        self.assertEqual(self.gitlab.asked, asked)

    async def test_renewed_before_the_failure(self) -> None:
        """A renewal between refusal and failure leaves nothing waiting: the job is queued again at once."""
        node, crawler, job = await self.refused_job()
        await self.renew(node)
        await crawler.fail(job)
        self.assertEqual((self.status(job), self.row(job, "attempts")), ("queued", 0))

    async def test_renewed_at_the_same_moment(self) -> None:
        """A renewal that did not see the failure's commit leaves nothing waiting either: the next round queues it."""
        node, crawler, job = await self.refused_job()
        await crawler.fail(job)
        self.assertEqual(self.status(job), "waiting_credential")
        self.query("UPDATE accounts SET credential_status = 'valid', token_generation = token_generation + 1")
        await node.presence.time_out()
        self.assertEqual(self.status(job), "queued")

    async def test_granted_after_all(self) -> None:
        """Once a crawler got a token after all, a failure is an ordinary one again."""
        node, crawler, job = await self.refused_job()
        await self.renew(node)
        self.assertEqual((await self.refreshed(crawler, job))["accessToken"], "renewed")
        await crawler.fail(job)
        self.assertEqual((self.tries(job), self.row(job, "attempts")), (["failed"], 1))

    async def test_never_a_token(self) -> None:
        """Unknown jobs, ended tries and jobs of another crawler get an answer without a token, and mark nothing."""
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
        """An account without a refresh token is refused without asking."""
        await self.node()
        crawler, job = await self.at_work()
        self.query("UPDATE accounts SET refresh_token = NULL WHERE id = 'lab'")
        self.refused(await self.refreshed(crawler, job))
        self.assertEqual((self.gitlab.asked, self.account("credential_status")), (0, ("expired",)))
        self.assertEqual(self.account("credential_error"), ("no refresh token",))
        await crawler.fail(job)
        self.assertEqual(self.query("SELECT reason FROM job_tries"), [("no new token: no refresh token",)])


class TroubleTests(TokenTestCase):
    """GitLab is slow, down or strange."""

    async def test_slow(self) -> None:
        """A slow GitLab does not keep the crawler waiting; what it gives in the end is stored and handed out next."""
        self.patch(tokens_module, "ANSWER_WITHIN", 0.2)
        await self.node()
        crawler, job = await self.at_work()
        self.gitlab.token.slow = True
        begun = self.now()
        self.refused(await self.refreshed(crawler, job))
        self.assertLess(self.now() - begun, 1.0)
        self.gitlab.token.release()
        await until(lambda: self.account("access_token") == ("access-2",))
        self.granted(await self.refreshed(crawler, job), "access-2")
        self.assertEqual((self.gitlab.asked, self.account("credential_status")), (1, ("valid",)))

    async def test_asked_once(self) -> None:
        """While GitLab takes its time nobody asks it again, here or at another node, whoever has given up waiting."""
        self.patch(tokens_module, "ANSWER_WITHIN", 0.2)
        first, second = await self.node(), await self.node()
        one, two = await self.at_work("one", first, "g/1"), await self.at_work("two", second, "g/2")
        self.gitlab.token.slow = True
        for who in (one, two, one):
            self.refused(await self.refreshed(*who))
        self.assertEqual(self.gitlab.asked, 1)
        self.gitlab.token.release()
        await until(lambda: self.account("refresh_token") == ("refresh-2",))
        for who in (one, two):
            self.granted(await self.refreshed(*who), "access-2")
        self.assertEqual(self.gitlab.asked, 1)

    async def test_the_claim_outlives_the_answer(self) -> None:
        """A claim on a refresh holds for longer than the slowest answer takes that is still stored."""
        self.assertGreater(tokens_module.CLAIM, posting.TIME_LIMIT + 30)

    async def test_under_fifteen_seconds(self) -> None:
        """The longest wait is under the fifteen seconds after which a plain crawler gives up."""
        self.assertLess(tokens_module.ANSWER_WITHIN, 15)

    async def test_strange_answers(self) -> None:
        """Server errors, rubbish, and answers without a token are no refusal: a later request works."""
        await self.node()
        crawler, job = await self.at_work()
        answers: list[tuple[int, Any]] = [
            (500, {"error": "oops"}),
            (400, {"error": "invalid_client"}),
            (401, {"error": "invalid_client"}),
            (403, b"<html>blocked</html>"),
            (400, b"<html>invalid_grant</html>"),
            (200, {"access_token": "a", "refresh_token": "b\n"}),
            (429, {}),
            (302, b""),
            (200, b"<html>"),
            (200, []),
            (200, {"access_token": 5}),
            (200, {"access_token": ""}),
            (200, b"x" * 100_000),
        ]
        for answer in answers:
            self.gitlab.token.answer = answer
            self.refused(await self.refreshed(crawler, job))
            self.assertEqual(self.account("credential_status", "access_token"), ("valid", "access-1"))
            self.assertIn("GitLab", self.account("credential_error")[0])
            self.at_once()
        self.gitlab.token.answer = None
        self.granted(await self.refreshed(crawler, job), "access-2")

    async def test_down(self) -> None:
        """A GitLab that can't be reached is no refusal: the failure that follows spends a try as usual."""
        await self.node()
        self.query("UPDATE accounts SET gitlab_url = 'http://127.0.0.1:9' WHERE id = 'lab'")
        crawler, job = await self.at_work()
        self.refused(await self.refreshed(crawler, job))
        await crawler.fail(job)
        self.assertEqual((self.row(job, "attempts"), self.account("credential_status")), (1, ("valid",)))

    async def test_back_off(self) -> None:
        """After a failure the account is left alone for a while, longer each time; a success ends that."""
        node = await self.node(SOCKET_RETRY_DELAY=0)
        self.patch(node._tokens, "_jitter", lambda: 0.5)
        crawler, job = await self.at_work()
        self.gitlab.token.answer = (500, {})
        for failures, wait in ((1, 1.0), (2, 2.0), (3, 4.0)):
            for _ in range(3):
                self.refused(await self.refreshed(crawler, job))
            self.assertEqual(self.gitlab.asked, failures)
            self.assertTrue(wait - 0.5 < self.wait() <= wait, self.wait())
            self.at_once()
        self.query("UPDATE accounts SET refresh_failures = 100 WHERE id = 'lab'")
        self.refused(await self.refreshed(crawler, job))
        self.assertLessEqual(self.wait(), 150.0)
        self.at_once()
        self.gitlab.token.answer = None
        self.granted(await self.refreshed(crawler, job), "access-2")
        self.assertEqual(self.account("refresh_failures", "refresh_after", "credential_error"), (0, None, None))

    async def test_retry_after(self) -> None:
        """GitLab is left alone for as long as it asks, but not for ever."""
        await self.node()
        crawler, job = await self.at_work()
        self.gitlab.token.answer = (429, {})
        for told, waits in (("45", 45.0), ("999999", 600.0)):
            self.gitlab.token.retry_after = told
            self.refused(await self.refreshed(crawler, job))
            self.assertTrue(waits - 1 < self.wait() <= waits, self.wait())
            self.at_once()

    async def test_jobs_wait_as_long(self) -> None:
        """A job that can't be sent falls due when GitLab may be asked again, not before."""
        await self.node(SOCKET_RETRY_DELAY=0)
        self.expires(5)
        self.gitlab.token.answer, self.gitlab.token.retry_after = (503, {}), "30"
        [job] = self.add_jobs("g/1", account_id="lab")
        crawler = await self.crawler()
        await crawler.ask()
        await until(lambda: self.tries(job) == ["returned"])
        due = "extract(epoch FROM scheduled_at - now())::float8"
        self.assertTrue(29 < self.row(job, due) <= 30)
        [later] = self.add_jobs("g/2", account_id="lab")
        await until(lambda: self.tries(later) == ["returned"])
        self.assertTrue(28 < self.row(later, due) <= 31)
        self.assertEqual(self.gitlab.asked, 1)

    async def test_a_pair_the_database_refuses(self) -> None:
        """A pair that PostgreSQL refuses is given up, not stored for ever; the account may be refreshed again."""
        await self.node()
        crawler, job = await self.at_work()
        self.query("ALTER TABLE accounts ADD CONSTRAINT no CHECK (access_token <> 'access-2')")
        self.refused(await self.refreshed(crawler, job))
        self.assertEqual(
            self.account("credential_error", "refresh_until"), ("the database refuses the new token", None)
        )

    async def test_the_database_goes_away(self) -> None:
        """A pair that came while the database was away is stored when that is back."""
        self.patch(tokens_module, "STORE_AGAIN", 0.05)
        node = await self.node()
        crawler, job = await self.at_work()
        query, failing = node.database.query, ["store_refreshed", "store_refreshed"]

        async def fail(statement: str, params: Any = None) -> Any:
            if failing and statement == sql(failing[0]):
                failing.pop()
                raise DatabaseAway("gone")
            return await query(statement, params)

        self.patch(node.database, "query", fail)
        self.granted(await self.refreshed(crawler, job), "access-2")
        self.assertEqual((failing, self.account("refresh_token")), ([], ("refresh-2",)))


class StoppingTests(TokenTestCase):
    """A node stops while GitLab renews a token."""

    async def asking(self, **settings: object) -> Node:
        """A node that has asked GitLab, which takes its time."""
        node = await self.node(**settings)
        crawler, job = await self.at_work()
        self.gitlab.token.slow = True
        crawler.say("token_refresh_request", job)
        await until(lambda: self.gitlab.asked)
        return node

    async def test_it_waits(self) -> None:
        """The pair is stored before the node is gone, also past SOCKET_SHUTDOWN_TIMEOUT."""
        node = await self.asking(SOCKET_SHUTDOWN_TIMEOUT=1)
        stopped = node.stopService()
        await until(lambda: node.database.use.in_use == 0)
        self.assertFalse(stopped.called)
        self.gitlab.token.release()
        await stopped
        self.assertEqual(self.account("access_token", "refresh_token"), ("access-2", "refresh-2"))

    async def test_not_for_ever(self) -> None:
        """A GitLab that does not answer keeps no node from stopping; nobody asks it while it may still answer."""
        self.patch(node_module, "TOKEN_PATIENCE", 0.2)
        node = await self.asking(SOCKET_SHUTDOWN_TIMEOUT=1)
        await node.stopService()
        self.assertEqual(self.account("access_token", "refresh_until > now()"), ("access-1", True))
        self.assertEqual(self.gitlab.asked, 1)

    async def test_nothing_new(self) -> None:
        """A stopping node begins no refresh."""
        node = await self.asking()
        self.add_account("other", self.gitlab.url, refresh_token="x", token_expires_at=datetime.now(UTC))
        stopped = node.stopService()
        await self.assertFailure(Deferred.fromCoroutine(node._tokens.fresh("other")), Unavailable)
        self.gitlab.token.release()
        await stopped
        self.assertEqual(self.gitlab.asked, 1)


class BeforeSendingTests(TokenTestCase):
    """No job is handed out with a token that is about to expire."""

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
        """Two jobs, however they come."""
        jobs: list[Message] = []
        while len(jobs) < 2:
            jobs += await crawler.answered()
        return jobs

    async def test_answered_meanwhile(self) -> None:
        """While GitLab takes its time the request has its empty answer, and the job is pushed when it can be."""
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

    async def test_what_nobody_thought_of(self) -> None:
        """Whatever goes wrong with the token, the job goes back."""
        await self.node(SOCKET_RETRY_DELAY=3_600_000)
        self.expires(5)
        self.gitlab.token.answer = (200, {"access_token": "nul\0"})
        [job] = self.add_jobs("g/1", account_id="lab")
        crawler = await self.crawler()
        self.assertEqual(await crawler.ask(), [])
        await until(lambda: self.tries(job) == ["returned"])
        self.assertEqual(self.status(job), "queued")

    async def test_its_crawler_left_meanwhile(self) -> None:
        """A crawler that leaves while its job waits for a token costs nothing: another one gets the job."""
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

    async def test_refused(self) -> None:
        """Where a new token is refused the job waits for its credential, unsent; its crawler gets other work."""
        node = await self.node()
        self.expires(5)
        self.gitlab.token.valid = "another"
        [job] = self.add_jobs("g/1", account_id="lab", priority=5)
        self.add_jobs("g/2")
        crawler = await self.crawler(maxJobs=1)
        crawler.say("job_request")
        self.assertEqual((await crawler.job())["fullPath"], "g/2")
        self.assertEqual((self.status(job), self.tries(job)), ("waiting_credential", ["credential"]))
        self.assertEqual(self.row(job, "attempts", "releases"), (0, 0))
        await self.renew(node)
        await self.becomes(job, "queued")

    async def test_impossible_for_now(self) -> None:
        """Where GitLab is down the job is put off, unsent, and comes when it is up again."""
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


class TwoNodesTests(TokenTestCase):
    """Two nodes on one database."""

    async def test_single_flight(self) -> None:
        """Crawlers at two nodes that ask at once cause one refresh, and both get its token."""
        first, second = await self.node(), await self.node()
        one, two = await self.at_work("one", first, "g/1"), await self.at_work("two", second, "g/2")
        self.gitlab.token.slow = True
        answers = [Deferred.fromCoroutine(self.refreshed(*who)) for who in (one, two)]
        await until(lambda: self.gitlab.asked)
        await until(lambda: all(node.database.use.in_use == 0 for node in self.nodes))
        self.gitlab.token.release()
        for data in await gatherResults(answers):
            self.granted(data, "access-2")
        self.assertEqual(self.gitlab.asked, 1)

    async def test_nothing_held_open(self) -> None:
        """No transaction is open while GitLab is being asked."""
        await self.node()
        crawler, job = await self.at_work()
        self.gitlab.token.slow = True
        answer = Deferred.fromCoroutine(self.refreshed(crawler, job))
        await until(lambda: self.gitlab.asked)
        busy = "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'"
        await until(lambda: len(self.query(busy)) == 1)  # the one that asks
        self.gitlab.token.release()
        self.granted(await answer, "access-2")

    async def test_the_refreshing_node_dies(self) -> None:
        """A claim on the refresh that is left behind by a dead node holds only for its time."""
        self.patch(tokens_module, "ANSWER_WITHIN", 5.0)
        await self.node()
        crawler, job = await self.at_work()
        self.query("UPDATE accounts SET refresh_node = 'dead', refresh_until = now() + interval '0.3 s'")
        begun = datetime.now(UTC)
        self.granted(await self.refreshed(crawler, job), "access-2")
        self.assertGreater(datetime.now(UTC) - begun, timedelta(seconds=0.25))
