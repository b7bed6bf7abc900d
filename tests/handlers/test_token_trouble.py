"""Refreshes with a slow, failing or misbehaving GitLab, with stopping or dead nodes, and with two nodes."""

from datetime import UTC, datetime, timedelta
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from copilot_socket import stopping
from copilot_socket.handlers import posting
from copilot_socket.handlers import tokens as tokens_module
from copilot_socket.handlers.tokens import Unavailable
from copilot_socket.node import Node
from copilot_socket.store import credentials
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.sql import sql
from tests.handlers.token_account import TokenTestCase
from tests.support.crawler import until


class TroubleTests(TokenTestCase):
    """GitLab is slow, down or misbehaving."""

    async def test_slow(self) -> None:
        """With a slow GitLab the crawler's answer is in time; the late pair is stored and used next."""
        soon = self.patch(tokens_module, "ANSWER_WITHIN", 0.2)
        await self.node()
        crawler, job = await self.at_work()
        self.gitlab.token.slow = True
        self.refused(await self.refreshed(crawler, job))
        self.gitlab.token.release()  # only then GitLab answers
        await until(lambda: self.account("access_token") == ("access-2",))
        soon.restore()
        self.granted(await self.refreshed(crawler, job), "access-2")
        self.assertEqual((self.gitlab.asked, self.account("credential_status")), (1, ("valid",)))

    async def test_one_refresh(self) -> None:
        """While GitLab has not answered no node sends another refresh, also after all waiters have timed out."""
        soon = self.patch(tokens_module, "ANSWER_WITHIN", 0.2)
        first, second = await self.node(), await self.node()
        one, two = await self.at_work("one", first, "g/1"), await self.at_work("two", second, "g/2")
        self.gitlab.token.slow = True
        for who in (one, two, one):
            self.refused(await self.refreshed(*who))
        await until(lambda: self.gitlab.asked)
        self.assertEqual(self.gitlab.asked, 1)
        self.gitlab.token.release()
        await until(lambda: self.account("refresh_token") == ("refresh-2",))
        soon.restore()
        for who in (one, two):
            self.granted(await self.refreshed(*who), "access-2")
        self.assertEqual(self.gitlab.asked, 1)

    async def test_the_claim_outlives_the_answer(self) -> None:
        """The lease on a refresh is longer than the slowest exchange that is still stored."""
        self.assertGreater(credentials.LEASE, posting.TIME_LIMIT + 30)

    async def test_under_fifteen_seconds(self) -> None:
        """The longest wait is under the fifteen seconds after which a plain crawler gives up."""
        self.assertLess(tokens_module.ANSWER_WITHIN, 15)

    async def test_strange_answers(self) -> None:
        """Server errors, invalid answers, and answers without a token mean Unavailable: a later request works."""
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
        """An unreachable GitLab means Unavailable: the failure that follows spends an attempt as usual."""
        await self.node()
        self.query("UPDATE accounts SET gitlab_url = 'http://127.0.0.1:9' WHERE id = 'lab'")
        crawler, job = await self.at_work()
        self.refused(await self.refreshed(crawler, job))
        await crawler.fail(job)
        self.assertEqual((self.row(job, "attempts"), self.account("credential_status")), (1, ("valid",)))

    async def test_back_off(self) -> None:
        """After a failure the account is not refreshed for a time, longer each time; a success resets that."""
        node = await self.node(SOCKET_RETRY_DELAY=0)
        self.patch(node._tokens, "_jitter", lambda: 0.5)
        crawler, job = await self.at_work()
        self.gitlab.token.answer = (500, {})
        for failures, wait in ((1, 1.0), (2, 2.0), (3, 4.0)):
            self.refused(await self.refreshed(crawler, job))
            waits = "extract(epoch FROM refresh_after - credential_checked_at)::float8"
            self.assertAlmostEqual(self.account(waits)[0], wait, places=3)
            self.query("UPDATE accounts SET refresh_after = now() + interval '1 h' WHERE id = 'lab'")
            for _ in range(2):
                self.refused(await self.refreshed(crawler, job))
            self.assertEqual(self.gitlab.asked, failures)
            self.at_once()
        self.query("UPDATE accounts SET refresh_failures = 100 WHERE id = 'lab'")
        self.refused(await self.refreshed(crawler, job))
        self.assertLessEqual(self.wait(), 150.0)
        self.at_once()
        self.gitlab.token.answer = None
        self.granted(await self.refreshed(crawler, job), "access-2")
        self.assertEqual(self.account("refresh_failures", "refresh_after", "credential_error"), (0, None, None))

    async def test_retry_after(self) -> None:
        """Retry-After is respected, up to a limit."""
        await self.node()
        crawler, job = await self.at_work()
        self.gitlab.token.answer = (429, {})
        for retry_after, waits in (("45", 45.0), ("999999", 600.0)):
            self.gitlab.token.retry_after = retry_after
            self.refused(await self.refreshed(crawler, job))
            self.assertTrue(waits - 1 < self.wait() <= waits, self.wait())
            self.at_once()

    async def test_jobs_wait_as_long(self) -> None:
        """Jobs that can't be sent fall due when the next refresh is allowed, not before."""
        await self.node(SOCKET_RETRY_DELAY=0)
        self.expires(5)
        self.gitlab.token.answer, self.gitlab.token.retry_after = (503, {}), "30"
        jobs = self.add_jobs("g/1", "g/2", account_id="lab")
        crawler = await self.crawler(maxJobs=2)
        await crawler.ask()
        for job in jobs:
            await until(lambda job=job: self.tries(job) == ["returned"])
            self.assertTrue(28 < self.row(job, "extract(epoch FROM scheduled_at - now())::float8") <= 30)
        self.assertEqual(self.gitlab.asked, 1)

    async def test_a_pair_the_database_refuses(self) -> None:
        """A pair that PostgreSQL refuses is discarded, not retried forever; the account may be refreshed again."""
        await self.node()
        crawler, job = await self.at_work()
        self.query("ALTER TABLE accounts ADD CONSTRAINT no CHECK (access_token <> 'access-2')")
        self.refused(await self.refreshed(crawler, job))
        self.assertEqual(
            self.account("credential_error", "refresh_until"), ("the database refuses the new token", None)
        )

    async def test_the_database_goes_away(self) -> None:
        """A pair received during an outage of the database is stored after it."""
        self.patch(credentials, "STORE_AGAIN", 0.05)
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
    """A node stops during a refresh."""

    async def asking(self, **settings: object) -> Node:
        """A node with a refresh that GitLab has not answered."""
        node = await self.node(**settings)
        crawler, job = await self.at_work()
        self.gitlab.token.slow = True
        crawler.say("token_refresh_request", job)
        await until(lambda: self.gitlab.asked)
        return node

    async def test_it_waits(self) -> None:
        """The pair is stored before the node has stopped, also past SOCKET_SHUTDOWN_TIMEOUT."""
        node = await self.asking(SOCKET_SHUTDOWN_TIMEOUT=1)
        stopped = node.stopService()
        await until(lambda: node.database.use.in_use == 0)
        self.assertFalse(stopped.called)
        self.gitlab.token.release()
        await stopped
        self.assertEqual(self.account("access_token", "refresh_token"), ("access-2", "refresh-2"))

    async def test_not_for_ever(self) -> None:
        """Without an answer the node stops, and no refresh begins elsewhere while one may still arrive."""
        self.patch(stopping, "TOKEN_PATIENCE", 0.2)
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


class TwoNodesTests(TokenTestCase):
    """Two nodes on one database."""

    async def test_single_flight(self) -> None:
        """Simultaneous token requests at two nodes cause one refresh, and both get its token."""
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
        """No transaction is open during a refresh."""
        await self.node()
        crawler, job = await self.at_work()
        self.gitlab.token.slow = True
        answer = Deferred.fromCoroutine(self.refreshed(crawler, job))
        await until(lambda: self.gitlab.asked)
        busy = "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'"
        await until(lambda: len(self.query(busy)) == 1)  # the query itself
        self.gitlab.token.release()
        self.granted(await answer, "access-2")

    async def test_the_refreshing_node_dies(self) -> None:
        """The lease on a refresh of a dead node expires."""
        self.patch(tokens_module, "ANSWER_WITHIN", 5.0)
        await self.node()
        crawler, job = await self.at_work()
        begun = datetime.now(UTC)
        self.query("UPDATE accounts SET refresh_node = 'dead', refresh_until = now() + interval '0.3 s'")
        self.granted(await self.refreshed(crawler, job), "access-2")
        self.assertGreaterEqual(datetime.now(UTC) - begun, timedelta(seconds=0.3))
