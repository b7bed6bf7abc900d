"""Crawlers that are not admitted do nothing at all."""

from functools import partial
from typing import Any

from twisted.internet.task import deferLater

from copilot_socket import periodic
from copilot_socket.core.acts import REASONS, WIRE
from copilot_socket.wire import factory as factory_module
from tests.handlers.support import ALIVE, Crawler, NodeTestCase
from tests.support.crawler import reactor, until


class AdmissionTests(NodeTestCase):
    """A node with tokens, or with users."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(periodic, "EACH_REFUSALS", 3600.0)  # tests write refusals themselves

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

    async def recorded(self, count: int, node: int = 0) -> list[tuple[Any, ...]]:
        """The refusals that a node has counted, *count* of them, as it records them: actor, what, reason, count."""
        sample = self.nodes[node].metrics.registry.get_sample_value

        def counted() -> float:
            return sum(
                sample("copilot_refusals_total", {"door": "wire", "reason": each}) or 0 for each in REASONS[WIRE]
            )

        await until(lambda: counted() == count, f"{count} are refused")
        await self.nodes[node].timers.run_once("refusals")
        return self.query(
            "SELECT actor, action, details->>'reason', count FROM audit_log"
            " WHERE door = 'wire' AND outcome = 'refused' AND address IS NULL AND target IS NULL ORDER BY 1, 2, 3"
        )

    async def test_who_is_refused(self) -> None:
        """It is recorded, with the user and what it said; who is admitted is not."""
        await self.node(COPILOT_CRAWLER_TOKEN="new", COPILOT_CRAWLER_UIDS="1001")
        self.be(1001)
        await self.crawler("one", token="new")
        self.be(1002)
        for say in (
            lambda c: c.say("hello", crawlerId="two"),
            lambda c: c.say("hello", crawlerId="two"),
            lambda c: c.say("hello", crawlerId="two", token="wrong-secret"),
            lambda c: c.say("hello", crawlerId="one", token="new"),
            lambda c: c.say("job_request"),
        ):
            stranger = await self.connect()
            say(stranger)
            await self.refused(stranger)
        self.be(None)
        mute = await self.connect()
        mute.transport.write(b'{"type":"hello","data":{"crawlerId":"' + b"x" * 100_000)
        await mute.closed
        self.assertEqual(
            await self.recorded(6),
            [
                ("stranger", "large first message", "not_admitted", 1),
                ("uid:1002", "hello as one", "id_in_use", 1),
                ("uid:1002", "hello as two", "no_token", 2),
                ("uid:1002", "hello as two", "wrong_token", 1),
                ("uid:1002", "job_request", "user", 1),
            ],
        )
        self.assertEqual(self.query("SELECT count(*) FROM audit_log WHERE audit_log::text LIKE '%%secret%%'"), [(0,)])

    async def test_other_refusals(self) -> None:
        """Too many connections, too many messages."""
        await self.node(SOCKET_MAX_CONNECTIONS="1", SOCKET_MESSAGE_RATE="10")
        self.be(1001)
        crawler = await self.crawler("one")
        extra = await self.connect()
        self.assertEqual((await extra.error())["code"], "too_many_connections")
        for number in range(30):
            crawler.say("heartbeat", id=str(number), **ALIVE)
        self.assertEqual(
            await self.recorded(2),
            [
                ("uid:1001", "connection", "too_many_connections", 1),
                ("uid:1001", "messages", "rate_limited", 1),
            ],
        )

    async def test_a_node_that_stops(self) -> None:
        """It writes what it has counted, also where it can't yet write it while it runs."""
        node = await self.node(COPILOT_CRAWLER_TOKEN="new")
        for _ in range(2):
            stranger = await self.connect()
            stranger.say("hello", crawlerId="two")
            await self.refused(stranger)
            self.query("ALTER TABLE audit_log RENAME TO audit_log_away")
            await node.timers.run_once("refusals")
            self.query("ALTER TABLE audit_log_away RENAME TO audit_log")
        self.assertEqual(len(self.flushLoggedErrors()), 0)
        await node.stopService()
        self.assertEqual(self.query("SELECT action, count FROM audit_log"), [("hello as two", 2)])

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

    async def test_an_id_of_another_user(self) -> None:
        """A crawlerId belongs to whoever said it first, at every node, until that crawler is gone."""
        nodes = [await self.node(), await self.node()]
        self.add_jobs("g/1")
        self.be(1001)
        owner = await self.crawler("one", maxJobs=2)
        [job] = await owner.ask()
        await self.crawler("one", nodes[1])
        self.be(1002)
        for node in nodes:
            thief = await self.connect(node)
            thief.say("hello", id="h", crawlerId="one", capabilities=["ack"], assignments=[])
            thief.say("job_request")
            error = await self.refused(thief)
            self.assertEqual((error["ref"], error["path"]), ("h", "/data/crawlerId"))
        await self.crawler("two")
        self.assertEqual(self.query("SELECT status FROM jobs"), [("assigned",)])
        owner.say("job_completed", job["id"], id="c", success=True, finalCounts={})
        self.assertEqual(await owner.acked(), "c")

    async def test_an_id_that_is_free_again(self) -> None:
        """When the grace is over, and where no user is known."""
        await self.node()
        crawlers: list[Crawler] = []
        for uid in (None, 1001, 1002, 1002):
            if uid == 1002:
                await crawlers.pop().leave()
                self.query("UPDATE crawlers SET lease_expires_at = now() - interval '1 h'")
            self.be(uid)
            crawlers.append(await self.crawler("one"))
            self.assertEqual(
                self.query("SELECT owner FROM crawlers WHERE key = 'hello:one'"), [(uid and f"uid:{uid}",)]
            )

    async def test_the_grace(self) -> None:
        """An owner that was cut off comes back to its job; nobody else gets that meanwhile."""
        await self.node()
        self.add_jobs("g/1")
        self.be(1001)
        owner = await self.crawler("one")
        [job] = await owner.ask()
        await owner.leave()
        ended = "SELECT lease_expires_at <= now() FROM crawlers"
        await until(lambda: self.query(ended) == [(True,)], "its lease has ended")
        for lease in ("now()", "now() - interval '1 h'"):  # then it still holds its job
            self.query(f"UPDATE crawlers SET lease_expires_at = {lease}")
            self.be(1002)
            thief = await self.connect()
            thief.say("hello", id="h", crawlerId="one", assignments=[])
            await self.refused(thief)
        self.be(1001)
        owner = await self.connect()
        owner.say("hello", id="h", crawlerId="one", capabilities=["ack"], assignments=[job["id"]])
        self.assertEqual((await owner.next())["type"], "welcome")
        owner.say("job_completed", job["id"], id="c", success=True, finalCounts={})
        self.assertEqual(await owner.acked(), "c")

    async def test_a_lease_that_ended_unnoticed(self) -> None:
        """At its node nobody takes the id of a connected crawler; at another one, it loses its connections."""
        nodes = [await self.node(), await self.node()]
        self.be(1001)
        owner = await self.crawler("one")
        self.be(1002)
        self.query("UPDATE crawlers SET lease_expires_at = now() - interval '1 h'")
        thief = await self.connect()
        thief.say("hello", id="h", crawlerId="one", capabilities=["ack"])
        await self.refused(thief)
        self.query("UPDATE crawlers SET owner = 'uid:1001', lease_expires_at = now() - interval '1 h'")
        await self.crawler("one", nodes[1])
        await nodes[0]._doorkeeper.close_lost()
        await owner.closed
        self.assertEqual(
            await self.recorded(2),
            [("uid:1001", "connection of one", "id_lost", 1), ("uid:1002", "hello as one", "id_in_use", 1)],
        )
        await nodes[1]._doorkeeper.close_lost()
        self.assertEqual([link.identity.owner for link in nodes[1].registry.links()], ["uid:1002"])

    async def test_an_id_that_is_lost_while_it_is_welcomed(self) -> None:
        """Another node gives it away before the presence of this one is stored: it is refused after all."""
        node = await self.node()
        self.be(1001)
        own = node._leases.own

        async def and_lose(key: str, crawler_id: str, owner: "str | None") -> bool:
            owns = await own(key, crawler_id, owner)
            self.query("UPDATE crawlers SET owner = 'uid:1002'")
            return owns

        self.patch(node._leases, "own", and_lose)
        crawler = await self.connect()
        crawler.say("hello", id="h", crawlerId="one", capabilities=["ack"])
        await self.refused(crawler)

    async def test_a_hello_that_fails(self) -> None:
        """The connection ends: its crawler is admitted as nobody else, either."""
        node = await self.node(COPILOT_CRAWLER_TOKEN="t")
        self.add_jobs("g/1")

        async def fail(*_: object) -> bool:
            await deferLater(reactor, 0)
            raise ValueError("planted")

        self.patch(node._leases, "own", fail)
        crawler = await self.connect()
        crawler.say("hello", id="h", crawlerId="one", token="t", capabilities=["ack"])
        crawler.say("job_request")
        self.assertEqual((await crawler.error())["code"], "internal")
        await crawler.closed
        self.assertEqual(crawler.unread, [])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    async def test_two_at_once(self) -> None:
        """One of them gets the id."""
        strangers = []
        for uid in (1001, 1002):
            node = await self.node()
            self.be(uid)
            strangers.append(await self.connect(node))
            await until(partial(len, node.factory.connections))
        for stranger in strangers:
            stranger.say("hello", id="h", crawlerId="one", capabilities=["ack"])
        await until(lambda: all(stranger.unread for stranger in strangers))
        types = sorted(stranger.unread[0]["type"] for stranger in strangers)
        self.assertEqual(types, ["error", "welcome"])

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
