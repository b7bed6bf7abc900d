"""Jobs that are put in while a crawler waits: it has them from the statement that stores them."""

from typing import Any

from twisted.internet.defer import Deferred

from copilot_socket.store.claims import Claims
from copilot_socket.store.connection import Connection
from copilot_socket.store.faults import DatabaseAway
from tests.handlers.support import Crawler, NodeTestCase
from tests.support.crawler import until
from tests.support.server import get_json

DONE: dict[str, Any] = {"success": True, "finalCounts": {}}


class OfferTests(NodeTestCase):
    """POST /api/v1/jobs beside idle crawlers."""

    def setUp(self) -> None:
        super().setUp()
        self.rounds = 0
        self.hand_outs = 0
        claim, hot_query = Claims.claim, Connection.hot_query

        async def counting_claim(claims: Claims, wants: Any) -> Any:
            self.rounds += 1
            return await claim(claims, wants)

        async def counting_query(connection: Connection, name: str, sql: str, params: Any) -> Any:
            if name == "hand_out":
                self.hand_outs += 1
            return await hot_query(connection, name, sql, params)

        self.patch(Claims, "claim", counting_claim)
        self.patch(Connection, "hot_query", counting_query)

    async def waiting(self, name: str = "one", **hello: Any) -> Crawler:
        """A crawler that has asked and was told that there is nothing."""
        crawler = await self.crawler(name, **hello)
        self.assertEqual(await crawler.ask(), [])
        return crawler

    async def post(self, path: str, status: int = 201, **fields: Any) -> str:
        """Put a job in; its id."""
        port = self.nodes[0].ports.http_port
        job = {"account_id": "acct", "command": "issues", "full_path": path, **fields}
        answered, body = await get_json(port, "/api/v1/jobs", "POST", job)
        self.assertEqual(answered, status, body)
        return str(body["id"])

    async def test_no_round_of_claiming(self) -> None:
        """The crawler has the job without a claim, reports on it as on any other, and gets the next one."""
        await self.node()
        crawler = await self.waiting()
        before = self.rounds
        job_id = await self.post("g/1")
        job = await crawler.job()
        self.assertEqual((job["id"][:26], job["fullPath"], job["try"]), (job_id, "g/1", 1))
        self.assertEqual(job["accessToken"], "token")
        self.assertEqual((self.rounds - before, self.hand_outs), (0, 1))
        crawler.say("job_completed", job["id"], id="done", **DONE)
        await crawler.answer("done")
        self.assertEqual(self.status(job_id), "completed")
        self.assertEqual(await crawler.ask(), [])
        await self.post("g/2")
        self.assertEqual((await crawler.job())["fullPath"], "g/2")

    async def test_each_to_another(self) -> None:
        """Jobs go to those who wait, one each; one that holds all it may is passed over."""
        await self.node()
        crawlers = [await self.waiting(name, maxJobs=1) for name in ("one", "two")]
        ids = {await self.post("g/1"), await self.post("g/2"), await self.post("g/3")}
        given = {(await crawler.job())["id"][:26] for crawler in crawlers}
        self.assertEqual(len(given & ids), 2)
        [(left,)] = self.query("SELECT id FROM jobs WHERE status = 'queued'")
        self.assertEqual({left}, ids - given)

    async def test_only_what_it_takes(self) -> None:
        """A crawler is offered nothing that it can't crawl."""
        await self.node()
        await self.waiting(entityTypes=["issue"])
        job_id = await self.post("g/1", command="commits")
        self.assertEqual((self.status(job_id), self.hand_outs), ("queued", 0))

    async def test_asked_anew_meanwhile(self) -> None:
        """A crawler that asks again while a job is being stored for it has that job, once, and no second one."""
        await self.node()
        crawler = await self.waiting(maxJobs=1)
        stored: Deferred[None] = Deferred()
        release: Deferred[None] = Deferred()
        hot_query = Connection.hot_query

        async def held_up(connection: Connection, name: str, sql: str, params: Any) -> Any:
            rows = await hot_query(connection, name, sql, params)
            if name == "hand_out":
                stored.callback(None)
                await release
            return rows

        self.patch(Connection, "hot_query", held_up)
        posted = Deferred.fromCoroutine(self.post("g/1"))
        await stored
        crawler.say("job_request")
        await crawler.sync()
        release.callback(None)
        job_id = await posted
        self.add_jobs("g/2")
        self.assertEqual([job["id"][:26] for job in await crawler.answered()], [job_id])
        await crawler.sync()
        self.assertEqual(crawler.unread, [])

    async def test_a_lost_connection(self) -> None:
        """What was committed without the node's hearing of it reaches the crawler, which asks no more for that."""
        await self.node()
        crawler = await self.waiting()
        hot_query = Connection.hot_query

        async def cut_short(connection: Connection, name: str, sql: str, params: Any) -> Any:
            rows = await hot_query(connection, name, sql, params)
            if name == "hand_out":
                raise DatabaseAway("the connection was lost")
            return rows

        self.patch(Connection, "hot_query", cut_short)
        port = self.nodes[0].ports.http_port
        job = {"account_id": "acct", "command": "issues", "full_path": "g/1"}
        status, _ = await get_json(port, "/api/v1/jobs", "POST", job)
        self.assertEqual(status, 503)
        self.assertEqual((await crawler.job())["fullPath"], "g/1")
        self.assertEqual(self.query("SELECT status, tries FROM jobs"), [("assigned", 1)])

    async def test_gone_meanwhile(self) -> None:
        """A job whose crawler leaves before it is sent goes back, and spends nothing."""
        await self.node(SOCKET_RECONNECT_GRACE="60000")
        crawler = await self.waiting()
        hot_query = Connection.hot_query

        async def then_leave(connection: Connection, name: str, sql: str, params: Any) -> Any:
            rows = await hot_query(connection, name, sql, params)
            if name == "hand_out":
                await crawler.leave()
                await until(lambda: self.nodes[0].registry.get("hello:one") is None, "it is gone")
            return rows

        self.patch(Connection, "hot_query", then_leave)
        job_id = await self.post("g/1")
        await self.becomes(job_id, "queued")
        self.assertEqual((self.tries(job_id), self.row(job_id, "attempts")), (["returned"], 0))
