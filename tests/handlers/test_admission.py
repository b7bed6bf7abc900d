"""Crawlers that are not admitted do nothing at all."""

from typing import Any

from copilot_socket.wire import factory as factory_module
from tests.handlers.support import ALIVE, Crawler, NodeTestCase
from tests.support.crawler import until


class AdmissionTests(NodeTestCase):
    """A node with tokens, or with users."""

    def be(self, uid: int | None) -> None:
        """From now on connections come from this user."""
        self.patch(factory_module, "read_uid", lambda _: uid)

    async def refused(self, crawler: Crawler) -> dict[str, Any]:
        """The error with which its connection ends."""
        error = await crawler.error()
        await crawler.closed
        self.assertEqual(error["code"], "unauthorized")
        self.assertEqual(crawler.unread, [])
        return error

    async def test_tokens(self) -> None:
        """hello with any of the tokens is welcome; with another, or none, it is the end."""
        await self.node(COPILOT_CRAWLER_TOKEN="new,old")
        self.add_jobs("g/1")
        for token in ("new", "old"):
            crawler = await self.crawler(token, token=token)
        for hello in ({"token": "wrong"}, {}):
            stranger = await self.connect()
            stranger.say("hello", id="h", crawlerId="new", capabilities=["ack"], **hello)
            stranger.say("job_request")
            self.assertEqual((await self.refused(stranger))["ref"], "h")
        self.assertEqual(self.query("SELECT status FROM jobs"), [("queued",)])
        self.assertEqual(len(await crawler.ask()), 1)

    async def test_plain_crawlers(self) -> None:
        """They are admitted by their users; whatever they say first, nothing comes of it."""
        await self.node(COPILOT_CRAWLER_TOKEN="t", COPILOT_CRAWLER_UIDS="1001,1002")
        [job] = self.add_jobs("g/1")
        self.be(1003)
        for say in (
            lambda c: c.say("job_request"),
            lambda c: c.say("heartbeat", **ALIVE),
            lambda c: c.say("job_completed", f"{job}.1.x", success=True, finalCounts={}),
            lambda c: c.say("token_refresh_request", f"{job}.1.x"),
            lambda c: c.say("rate_limit", accountId="acct", remaining=0),
        ):
            crawler = await self.connect()
            say(crawler)
            await self.refused(crawler)
        self.assertEqual(
            self.query("SELECT (SELECT count(*) FROM crawlers), (SELECT count(*) FROM budgets)"), [(0, 0)]
        )
        self.be(1002)
        crawler = await self.connect()
        self.assertEqual(len(await crawler.ask()), 1)
        self.be(1003)
        again = await self.crawler("one", token="t")
        self.assertEqual(await again.ask(), [])

    async def test_users_alone(self) -> None:
        """Without a token both kinds of crawlers are admitted by their users."""
        await self.node(COPILOT_CRAWLER_UIDS="1001")
        self.be(1001)
        await self.crawler("one")
        self.be(None)
        stranger = await self.connect()
        stranger.say("hello", crawlerId="two")
        self.assertIn("not for the one at the other end", (await self.refused(stranger))["message"])

    async def test_messages_that_are_none(self) -> None:
        """They are no sign of life, and are recorded with no job."""
        node = await self.node(COPILOT_CRAWLER_TOKEN="t", SOCKET_MAX_MESSAGE_SIZE=2048)
        _crawler, job = await self.working(token="t")
        self.be(1001)
        stranger = await self.connect()
        stranger.raw(b'{"type": "jobs_discovered", "jobId": "%s", "data": "%s"}\n' % (job.encode(), b"x" * 3000))
        self.assertEqual((await stranger.error())["code"], "message_too_large")
        stranger.say("job_request")
        await self.refused(stranger)
        await until(lambda: node.writer.waiting == 0)
        self.assertEqual(self.query("SELECT count(*) FROM job_error_log"), [(0,)])
