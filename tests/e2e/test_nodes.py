"""Several nodes on one database: nothing anywhere may assume that a node is the only one."""

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.support.crawler import TestCrawler, in_reactor, reactor, until
from tests.support.load import Load
from tests.support.postgres import admin, drop_database, fresh_database
from tests.support.server import (
    InProcessNode,
    NodeTestCase,
    beside_python,
    get_json,
    run_program,
    short_directory,
)

# Long enough that nothing is lost by itself within a test.
LONG_GRACE = {"SOCKET_RECONNECT_GRACE": "20000"}
LONG_LEASE = {**LONG_GRACE, "SOCKET_LEASE": "30000"}
SHORT_LEASE = {"SOCKET_RECONNECT_GRACE": "300", "SOCKET_LEASE": "700"}
LEASE, GRACE = 0.7, 0.3


class SharingTests(NodeTestCase):
    """What two live nodes have in common."""

    async def pair(self, **environ: str) -> tuple[InProcessNode, InProcessNode]:
        """Two nodes on the test's database."""
        return await self.node(**environ), await self.node(**environ)

    @in_reactor()
    async def test_no_job_twice(self) -> None:
        """Crawlers at two nodes under load complete every job exactly once."""
        a, b = await self.pair(**LONG_LEASE)
        load = Load(await self._crawlers(a, b))
        jobs = self.add_jobs(200)
        load.start()
        await until(lambda: self.count("completed") == len(jobs), "all jobs are completed")
        load.stop()
        given = [job.partition(".")[0] for crawler in load.crawlers for job in crawler.jobs()]
        self.assertEqual(sorted(given), sorted(jobs))
        self.assertEqual(self.query("SELECT DISTINCT tries FROM jobs"), [(1,)])
        at_b = {job for crawler in load.crawlers if crawler.name.startswith("b") for job in crawler.jobs()}
        self.assertTrue(0 < len(at_b) < len(jobs), f"{len(at_b)} of the jobs went through the second node")

    async def _crawlers(self, a: InProcessNode, b: InProcessNode) -> list[TestCrawler]:
        at_a = [await self.greeted(a, f"a{n}") for n in range(4)]
        return at_a + [await self.greeted(b, f"b{n}") for n in range(4)]

    @in_reactor()
    async def test_beaten_to_a_job(self) -> None:
        """A node that finds all it wanted locked by another's claim looks again soon, not at the next poll."""
        node = await self.node()
        crawler = await self.greeted(node)
        self.add_jobs()
        with admin(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN; SELECT id FROM jobs ORDER BY id LIMIT 1 FOR UPDATE")
            crawler.say("job_request", limit=1)
            await crawler.expect("job_response")
            cursor.execute("ROLLBACK")
        await crawler.job()

    @in_reactor()
    async def test_reconnect_elsewhere_keeps_job(self) -> None:
        """A crawler that reconnects to the other node keeps the job that it names, past grace and lease."""
        a, b = await self.pair(**LONG_LEASE)
        self.add_jobs()
        first = await self.greeted(a, "c1")
        job = await first.take_job()
        await first.told("job_started", job["id"])
        await first.hang_up()
        second = await self.greeted(b, "c1", assignments=[job["id"]])
        await self._outlasts((a, b), job["id"])
        self.assertEqual((await second.answer(second.complete(job["id"])))["type"], "ack")
        self.assertEqual(self.status_of(job["id"]), "completed")

    @in_reactor()
    async def test_report_elsewhere_moves_the_lease(self) -> None:
        """A report at the other node is accepted, and from then on that node's lease protects the job."""
        a, b = await self.pair(**LONG_LEASE)
        self.add_jobs()
        first = await self.greeted(a, "c1")
        job = await first.take_job()
        await first.told("job_started", job["id"])
        await first.hang_up()
        second = await self.greeted(b, "c1")
        self.assertEqual((await second.answer(second.progress(job["id"], 1)))["type"], "ack")
        await self._outlasts((a, b), job["id"])
        self.assertEqual((await second.answer(second.complete(job["id"])))["type"], "ack")

    @in_reactor()
    async def test_other_crawler_takes_over_after_the_first_has_gone(self) -> None:
        """A report of another crawler is refused while the owner lives elsewhere, and taken once that has gone."""
        a, b = await self.pair(**LONG_GRACE)
        self.add_jobs()
        owner, other = await self.greeted(a, "owner"), await self.greeted(b, "other")
        job = await owner.take_job()
        await owner.told("job_started", job["id"])
        refused = await other.answer(other.progress(job["id"], 1))
        self.assertEqual(refused["data"].get("code"), "unauthorized")
        await owner.hang_up()
        gone = "SELECT 1 FROM crawlers WHERE crawler_id = 'owner' AND lease_expires_at <= now()"
        await until(lambda: self.query(gone), "the owner's lease is over")
        self.assertEqual((await other.answer(other.progress(job["id"], 2)))["type"], "ack")
        held = self.query("SELECT crawler_key FROM job_assignments WHERE crawler_job_id = %s", job["id"])
        self.assertEqual(held, [("hello:other",)])

    async def _outlasts(self, nodes: tuple[InProcessNode, ...], assignment: str) -> None:
        """The assignment is still the live one when every lease and grace of before is over."""
        self.query(
            "UPDATE crawlers SET lease_expires_at = lease_expires_at - interval '1 min';"
            "UPDATE job_assignments SET confirm_by = confirm_by - interval '1 min'"
        )
        for node in nodes:
            await node.node.presence.renew()
        for node in nodes:
            await node.node._leases.release_lost(others=True)
        rows = self.query("SELECT outcome, reason FROM job_tries WHERE crawler_job_id = %s", assignment)
        self.assertEqual(rows, [], "the try was ended")

    @in_reactor()
    async def test_later_request_elsewhere_replaces_the_first(self) -> None:
        """A crawler has one pending request: a job is sent to the node of its last request only."""
        a, b = await self.pair(SOCKET_LEASE="600")
        first = await self.greeted(a, "c1")
        first.say("job_request")
        await first.expect("job_response")
        second = await self.greeted(b, "c1")
        second.say("job_request")
        await second.expect("job_response")
        for number in range(4):
            self.add_jobs(prefix=f"round{number}/")
            job = await second.job()
            await second.answer(second.complete(job["id"]))
            second.say("job_request")
            await second.expect("job_response")
        self.assertEqual(first.jobs(), [])
        await until(lambda: a.node.dispatcher.pending_requests == 0, "the first node forgets the request")

    @in_reactor()
    async def test_cancel_elsewhere_frees_room(self) -> None:
        """A job cancelled over one node's HTTP port immediately frees room of its crawler at another node."""
        a, b = await self.pair(**LONG_GRACE, SOCKET_LEASE="60000")
        first, second = self.add_jobs(2)
        crawler = await self.greeted(b, "c1", maxJobs=1)
        job = await crawler.take_job()
        self.assertEqual(job["id"].partition(".")[0], first)
        await crawler.told("job_started", job["id"])
        crawler.say("job_request")
        self.assertEqual((await crawler.expect("job_response"))["data"]["jobs"], [])
        status, _ = await get_json(a.port, f"/api/v1/jobs/{first}/cancel", "POST")
        self.assertEqual(status, 200)
        self.assertEqual((await crawler.job())["id"].partition(".")[0], second)
        late = await crawler.answer(crawler.complete(job["id"]))
        self.assertEqual(late["data"]["code"], "stale_assignment")
        self.assertEqual(self.status_of(first), "cancelled")


class LossTests(NodeTestCase):
    """How a node handles the failure of others."""

    @in_reactor()
    async def test_new_node_does_not_judge(self) -> None:
        """A node started just now releases nothing of others before its own leases have held for one whole lease."""
        self.add_jobs()
        self.query(
            "INSERT INTO crawlers (key, crawler_id, node_id, lease_expires_at, max_jobs, entity_types, plain)"
            " VALUES ('hello:lost', 'lost', 'dead', now() - interval '1 hour', 1, '{issue}', false);"
            "UPDATE jobs SET status = 'running', tries = 1;"
            "INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, try, crawler_key)"
            " SELECT id, id || '.1.abc', 'acct', 1, 'hello:lost' FROM jobs"
        )
        begun = reactor.seconds()
        node = await self.node(**SHORT_LEASE)
        await node.node.presence.release_lost()
        self.assertTrue(self.count("running") == 1 or reactor.seconds() - begun >= LEASE, "released at once")
        await until(lambda: self.count("queued") == 1, "the lost job is queued again")
        self.assertGreaterEqual(reactor.seconds() - begun, LEASE)

    @in_reactor()
    async def test_killed_node_loses_its_crawlers_jobs(self) -> None:
        """After kill -9 of a node its crawlers' jobs come back through the other one, after lease and grace."""
        dying, other = self.process(**LONG_LEASE), await self.node(**SHORT_LEASE)
        await dying.start()
        jobs = self.add_jobs(6)
        holders = [await self.greeted(dying, f"d{n}") for n in range(3)]
        for holder in holders:
            for _ in range(2):
                job = await holder.take_job()
                await holder.told("job_progress", job["id"], **_page(3))
        heirs = [await self.greeted(other, f"o{n}", maxJobs=6) for n in range(3)]
        for heir in heirs:
            heir.say("job_request", limit=2)
        await dying.kill()
        self.query("UPDATE crawlers SET lease_expires_at = now() + interval '0.7 s' WHERE crawler_id LIKE 'd%%'")
        responses = await gatherResults([Deferred.fromCoroutine(_jobs(heir)) for heir in heirs])
        self.assert_released_in_time(GRACE)
        inherited = [job for response in responses for job in response]
        self.assertTrue(inherited)
        self.assertEqual({job["resumeState"]["currentPage"] for job in inherited}, {3})
        for heir in heirs:
            for assignment in heir.jobs():
                await heir.answer(heir.complete(assignment))
        # One of them goes on; what was claimed ahead for the others, who do not ask, comes back for it.
        while self.count("completed") < len(jobs):
            job = await heirs[0].take_job()
            await heirs[0].answer(heirs[0].complete(job["id"]))


def _page(number: int) -> dict[str, Any]:
    return {
        "stage": "fetching",
        "entityType": "issue",
        "processed": number,
        "resumeState": {"currentPage": number, "lastEntityId": str(number)},
    }


async def _jobs(crawler: TestCrawler) -> list[dict[str, Any]]:
    while True:
        response = await crawler.expect("job_response")
        if response["data"]["jobs"]:
            jobs: list[dict[str, Any]] = response["data"]["jobs"]
            return jobs


class StallTests(NodeTestCase):
    """A database that blocks for all nodes."""

    @in_reactor()
    async def test_stall_of_the_database(self) -> None:
        """A database that answers nobody for longer than lease and grace makes no node take the other's work."""
        nodes = await self.node(**SHORT_LEASE), await self.node(**SHORT_LEASE)
        for node in nodes:
            await until(node.node.presence._may_judge, "the node may judge the other one")
        self.add_jobs(4)
        crawlers = [await self.greeted(node, f"{index}-{n}") for index, node in enumerate(nodes) for n in range(2)]
        held = [(await crawler.take_job())["id"] for crawler in crawlers]
        with admin(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN; LOCK TABLE crawlers, nodes")
            await deferLater(reactor, 1.3)  # how long it lasts is what is tested
            cursor.execute("ROLLBACK")
        end = reactor.seconds() + 0.7  # a whole lease: every timer has its rounds
        while reactor.seconds() < end:
            for crawler in crawlers:
                await crawler.answer(crawler.heartbeat())
        self.assertEqual(self.query("SELECT outcome, reason FROM job_tries"), [])
        for crawler, job in zip(crawlers, held, strict=True):
            self.assertEqual((await crawler.answer(crawler.complete(job)))["type"], "ack")


class MigrationTests(NodeTestCase):
    """Two programs that find an empty database."""

    @in_reactor()
    async def test_two_migrations_at_once(self) -> None:
        """Two concurrent `copilot-socket migrate` on an empty database both succeed, and a node starts on it."""
        url = fresh_database(migrated=False)
        self.addCleanup(drop_database, url)
        directory = short_directory()
        self.addCleanup(directory.rmdir)
        environ = {"DATABASE_URL": url}
        programs = [
            run_program([beside_python("copilot-socket"), "migrate"], environ, directory)[0] for _ in range(2)
        ]
        statuses = await gatherResults([program.ended for program in programs])
        self.assertEqual(statuses, [0, 0], [program.err for program in programs])
        said = sorted(program.out for program in programs)
        self.assertIn(b"no tables", said[0] + said[1])
        node = self.process(url)
        await node.start()
        self.assertEqual(await node.stop(), 0, node.log)
