"""What dies, and what comes of it: nodes, crawlers and PostgreSQL are killed in the middle of their work."""

import os
import shutil
import signal
import sys
from collections.abc import Sequence
from typing import Any

from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from copilot_socket import node as node_module
from copilot_socket.store import migrate
from copilot_socket.store.embedded import EmbeddedPostgres
from copilot_socket.store.faults import DatabaseAway
from tests.support.crawler import TestCrawler, in_reactor, reactor, until
from tests.support.load import Load
from tests.support.postgres import FAST, reachable_directory
from tests.support.server import InProcessNode, NodeTestCase, ServerProcess, get_json, run_program, short_directory

SHORT = {
    "SOCKET_LEASE": "900",
    "SOCKET_RECONNECT_GRACE": "300",
    "SOCKET_HEARTBEAT_INTERVAL": "300",
    "SOCKET_HEARTBEAT_TIMEOUT": "1200",
}
LEASE, GRACE = 0.9, 0.3
SLACK = 3.0
"""Seconds that the rounds of timers and a busy machine may add."""


class HastyCrawler(TestCrawler):
    """Completes every job in the moment in which it is given, and asks for the next in the same write."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.completed: set[str] = set()
        """Assignments whose end was acknowledged."""

    def dataReceived(self, data: bytes) -> None:
        before = len(self.received)
        super().dataReceived(data)
        for message in self.received[before:]:
            if message["type"] == "ack" and message["data"]["type"] == "job_completed":
                self.completed.add(message["jobId"])
            for job in message["data"].get("jobs", ()):
                self.say("job_started", job["id"])
                self.complete(job["id"])
                self.say("job_request", limit=1)


class _RecoveryTestCase(NodeTestCase):
    """Shorthand for what must hold after any crash."""

    async def group(self, server: Any, count: int, prefix: str = "c") -> list[TestCrawler]:
        """Several crawlers, greeted."""
        return [await self.greeted(server, f"{prefix}{n}") for n in range(count)]

    def assert_nothing_acknowledged_is_lost(self, load: Load) -> None:
        """Every acknowledged completion is in the database."""
        rows = self.query("SELECT crawler_job_id FROM job_tries WHERE outcome = 'completed'")
        self.assertEqual(load.completed - {str(row[0]) for row in rows}, set())
        rows = self.query("SELECT web_app_job_id FROM job_assignments WHERE started_at IS NOT NULL")
        self.assertEqual({job.partition(".")[0] for job in load.started} - {str(row[0]) for row in rows}, set())

    def assert_done_once(self, jobs: list[str]) -> None:
        """Every job was completed, and by one try."""
        rows = self.query("SELECT job_id FROM job_tries WHERE outcome = 'completed' ORDER BY job_id")
        self.assertEqual([row[0] for row in rows], sorted(jobs))
        self.assertEqual(self.count("completed"), len(jobs))

    def outcomes(self) -> set[str]:
        """How tries ended."""
        return {str(row[0]) for row in self.query("SELECT DISTINCT outcome FROM job_tries")}


class NodeTests(_RecoveryTestCase):
    """A node that is killed or stopped."""

    @in_reactor()
    async def test_killed_under_load(self) -> None:
        """After kill -9 under load no acknowledged change is lost, nothing is done twice, nothing stays stuck."""
        server = await self.process(**SHORT).start()
        jobs = self.add_jobs(240)
        load = Load(await self.group(server, 8))
        load.start()
        await until(lambda: len(load.completed) >= 40, "the load runs")
        await server.kill()
        for crawler in load.crawlers:
            await crawler.closed
        self.assert_nothing_acknowledged_is_lost(load)
        self.assertLess(len(load.completed), len(jobs), "it was killed in the midst of it")
        await server.start()
        begun = reactor.seconds()
        held = self._held()
        for crawler in load.crawlers[:4]:  # the others never come back
            await self._come_back(server, load, crawler.name, held.get(crawler.name, []))
        await until(lambda: self.count("completed") == len(jobs), "all jobs are completed", 20)
        load.stop()
        self.assertLess(reactor.seconds() - begun, LEASE + GRACE + SLACK)
        self.assert_nothing_acknowledged_is_lost(load)
        self.assert_done_once(jobs)
        self.assertEqual(load.refused, [])

    @in_reactor(60)
    async def test_killed_with_jobs_in_reserve(self) -> None:
        """The same where crawlers run ahead of commits; and what was in reserve is done by others."""
        server = await self.process(**SHORT).start()
        jobs = self.add_jobs(1500)
        first = await self._hasty(server, 4)
        await until(lambda: sum(len(crawler.completed) for crawler in first) >= 300, "they run", 20)
        await server.kill()
        for crawler in first:
            await crawler.closed
        self.assertTrue(self.query("SELECT 1 FROM job_assignments WHERE crawler_key IS NULL"), "some were in reserve")
        done = {name for crawler in first for name in crawler.completed}
        self.assertEqual(done - self._completed(), set())
        self.assertLess(len(done), len(jobs), "it was killed in the midst of it")
        await server.start()
        second = await self._hasty(server, 2, first[:2])  # the others never come back
        await until(lambda: self.count("completed") == len(jobs), "all jobs are completed", 30)
        done |= {name for crawler in second for name in crawler.completed}
        self.assertEqual(done - self._completed(), set())
        self.assert_done_once(jobs)
        self.assertEqual([each for crawler in second for each in crawler.of_type("error")], [])

    async def _hasty(self, server: Any, count: int, former: Sequence[HastyCrawler] = ()) -> list[HastyCrawler]:
        """Crawlers that run ahead, or come back: they tell every end that was not acknowledged to *former*."""
        crawlers = []
        for number in range(count):
            crawler = HastyCrawler(f"c{number}")
            await connectProtocol(UNIXClientEndpoint(reactor, server.socket_path), crawler)
            self.addCleanup(crawler.hang_up)
            left = [name for name in former[number].jobs() if name not in former[number].completed] if former else []
            await crawler.hello(assignments=left)
            for name in left:
                crawler.complete(name)
            crawler.say("job_request", limit=1)
            crawlers.append(crawler)
        return crawlers

    def _completed(self) -> set[str]:
        rows = self.query("SELECT crawler_job_id FROM job_tries WHERE outcome = 'completed'")
        return {str(row[0]) for row in rows}

    def _held(self) -> dict[str, list[str]]:
        rows = self.query(
            "SELECT c.crawler_id, array_agg(a.crawler_job_id) FROM job_assignments a "
            "JOIN crawlers c ON c.key = a.crawler_key WHERE a.completed_at IS NULL GROUP BY 1"
        )
        return {str(row[0]): row[1] for row in rows}  # type: ignore[misc]

    async def _come_back(self, server: ServerProcess, load: Load, name: str, held: list[str]) -> None:
        """A crawler is back with what it holds, finishes it, and goes on."""
        crawler = await self.greeted(server, name, assignments=held)
        for assignment in held:
            await load.finish(crawler, assignment)
        load.add(crawler)

    @in_reactor()
    async def test_stopped_for_a_while(self) -> None:
        """A node that stood still for longer than time-out, lease and grace takes nothing from live crawlers."""
        server = await self.process(**SHORT).start()
        self.add_jobs(6)
        crawlers = await self.group(server, 6)
        held = {crawler: (await crawler.take_job())["id"] for crawler in crawlers}
        for crawler, job in held.items():
            await crawler.told("job_started", job)
        server.send(signal.SIGSTOP)
        try:
            await deferLater(reactor, LEASE + GRACE + 0.4)  # how long it lasts is what is tested
        finally:
            server.send(signal.SIGCONT)
        # Two rounds of every timer, in which the crawlers only give signs of life.
        end = reactor.seconds() + LEASE
        while reactor.seconds() < end:
            for crawler in crawlers:
                await crawler.answer(crawler.heartbeat())
        self.assertEqual(self.query("SELECT outcome, reason FROM job_tries"), [])
        for crawler, job in held.items():
            self.assertEqual((await crawler.answer(crawler.complete(job)))["type"], "ack")
        self.assertEqual(self.count("completed"), len(held))


def _pending(node: InProcessNode, key: str) -> int:
    crawler = node.node.registry.get(key)
    assert crawler is not None
    return crawler.pending


HOLDER = """
import json, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
stream = connection.makefile("rw")
def say(kind, job=None, **data):
    message = {"type": kind, "timestamp": "now", "data": data}
    stream.write(json.dumps(message if job is None else {**message, "jobId": job}) + "\\n")
    stream.flush()
say("hello", crawlerId="holder", capabilities=["ack"])
stream.readline()
say("job_request")
job = json.loads(stream.readline())["data"]["jobs"][0]["id"]
for page in (1, 2, 7):
    say("job_progress", job, stage="fetching", entityType="issue", processed=page,
        resumeState={"currentPage": page, "lastEntityId": str(page)})
    assert json.loads(stream.readline())["type"] == "ack"
print(job, flush=True)
stream.readline()
"""


class CrawlerTests(_RecoveryTestCase):
    """A crawler that is killed."""

    @in_reactor()
    async def test_killed_crawler(self) -> None:
        """After kill -9 of a crawler its job is with another after the grace, with the last acknowledged cursor."""
        node = await self.node(**SHORT)
        self.add_jobs()
        directory = short_directory()
        self.addCleanup(shutil.rmtree, directory)
        program, process = run_program([sys.executable, "-c", HOLDER, node.socket_path], {}, directory)
        await until(lambda: b"\n" in program.out, f"the crawler holds the job; it says {program.err!r}")
        heir = await self.greeted(node, "heir")
        heir.say("job_request")
        self.assertEqual((await heir.expect("job_response"))["data"]["jobs"], [])
        os.kill(process.pid, signal.SIGKILL)
        begun = reactor.seconds()
        job = await heir.job()
        self.assertGreaterEqual(reactor.seconds() - begun, GRACE - 0.05)
        self.assertLess(reactor.seconds() - begun, GRACE + 1.0)
        await program.ended
        lost = program.out.decode().strip()
        self.assertEqual(job["id"].partition(".")[0], lost.partition(".")[0])
        self.assertNotEqual(job["id"], lost)
        self.assertEqual(job["resumeState"], {"currentPage": 7, "lastEntityId": "7"})
        self.assertEqual(job["try"], 2)


class DatabaseTests(_RecoveryTestCase):
    """PostgreSQL that is killed, and connections that are lost."""

    def _own_postgres(self) -> EmbeddedPostgres:
        """A server of this test's own, with the schema; the test's queries go there."""
        directory = reachable_directory()
        postgres = EmbeddedPostgres(directory, FAST)
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.addCleanup(postgres.stop, only_if_unused=False)
        self.database_url = postgres.start()
        migrate.upgrade(self.database_url)
        self.add_account()
        return postgres

    @in_reactor()
    async def test_killed_under_load(self) -> None:
        """After kill -9 of PostgreSQL under load reading stops until it is back; nothing is lost or taken away."""
        postgres = self._own_postgres()
        server = await self.process(**SHORT).start()
        jobs = self.add_jobs(160)
        load = Load(await self.group(server, 8))
        holders = await self.group(server, 2, "holder")
        held = {holder: (await holder.take_job())["id"] for holder in holders}
        load.start()
        await until(lambda: len(load.completed) >= 30, "the load runs")
        pid = postgres.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: "reading from crawlers stops" in server.log, "reading stops")
        unread = [holder.heartbeat() for holder in holders]
        completed_before = set(load.completed)
        await deferLater(reactor, LEASE + GRACE + 0.4)  # how long it lasts is what is tested
        self.assertEqual(load.completed, completed_before, "acknowledged without a database")
        self.assertEqual([m for h in holders for m in h.of_type("ack")], [], "read without a database")
        await deferToThread(postgres.start)  # the crawlers live in this process and go on heartbeating
        for holder, ref in zip(holders, unread, strict=True):
            await holder.answer(ref)
        self.assert_nothing_acknowledged_is_lost(load)
        for holder, job in held.items():
            await load.finish(holder, job)
        await until(lambda: self.count("completed") == len(jobs), "all jobs are completed", 15)
        load.stop()
        self.assert_nothing_acknowledged_is_lost(load)
        self.assert_done_once(jobs)
        self.assertEqual(load.refused, [])
        # A job claimed ahead may have gone back unsent; no crawler had that.
        taken = self.outcomes() - {"completed", "returned"}
        self.assertEqual(taken, set(), "a stall of the database took work from live crawlers")
        self.assertEqual(await server.stop(), 0, server.log)

    @in_reactor()
    async def test_unknown_outcome_of_a_claim(self) -> None:
        """A job whose claim was committed just when the connection was lost still reaches its crawler."""
        node = await self.node()
        claims = node.node.dispatcher._claims
        real = claims.claim
        crawler = await self.greeted(node, "c1", maxJobs=1)
        lost: list[str] = []

        async def lose(*arguments: Any) -> Any:
            claim = await real(*arguments)
            if claim.jobs and not lost:
                lost.append(claim.jobs[0].assignment)
                raise DatabaseAway("the connection was lost after COMMIT")
            return claim

        self.patch(claims, "claim", lose)
        self.add_jobs()
        job = await crawler.take_job()
        self.assertEqual([job["id"]], lost)
        self.assertEqual((await crawler.answer(crawler.complete(job["id"])))["type"], "ack")
        self.assertEqual(crawler.jobs(), lost, "it was sent once")

    @in_reactor()
    async def test_unknown_outcome_of_a_claim_for_a_busy_crawler(self) -> None:
        """The same when that crawler has reported on another job in the meantime, which is not stored yet."""
        node = await self.node()
        claims, batches = node.node.dispatcher._claims, node.node.writer._batches
        claim, write = claims.claim, batches.write
        crawler = await self.greeted(node, "c1", maxJobs=2)
        self.add_jobs(prefix="first/")
        first = (await crawler.take_job())["id"]
        lost: list[str] = []
        away = [True]

        async def lose(*arguments: Any) -> Any:
            claimed = await claim(*arguments)
            if claimed.jobs and not lost:
                lost.append(claimed.jobs[0].assignment)
                crawler.progress(first, 1)
                await until(lambda: _pending(node, "hello:c1"), "the report has come in")
                raise DatabaseAway("the connection was lost after COMMIT")
            return claimed

        async def wait(*arguments: Any) -> Any:
            await until(lambda: not away[0], "the database is back for writes")
            return await write(*arguments)

        crawler.say("job_request")
        await crawler.expect("job_response")
        self.patch(claims, "claim", lose)
        self.patch(batches, "write", wait)
        self.add_jobs(prefix="second/")
        second = await crawler.job(patience=3)
        away[0] = False
        self.assertEqual([second["id"]], lost)

    @in_reactor()
    async def test_unknown_outcome_of_a_write(self) -> None:
        """Reports whose commit was not heard of are written again, and acknowledged as if it had been."""
        node = await self.node()
        batches = node.node.writer._batches
        real = batches.write
        failures: list[str] = []
        crawler = await self.greeted(node)
        self.add_jobs()
        job = (await crawler.take_job())["id"]

        async def lose(*arguments: Any) -> Any:
            written = await real(*arguments)
            if len(failures) % 2 == 0:
                failures.append("the connection was lost after COMMIT")
                raise DatabaseAway(failures[-1])
            failures.append("")
            return written

        self.patch(batches, "write", lose)
        for ref in (crawler.say("job_started", job), crawler.progress(job, 5), crawler.complete(job)):
            self.assertEqual((await crawler.answer(ref))["type"], "ack")
        self.assertTrue(any(failures))
        self.assertEqual(self.status_of(job), "completed")
        self.assertEqual(self.query("SELECT outcome FROM job_tries"), [("completed",)])

    @in_reactor()
    async def test_arrivals_while_away(self) -> None:
        """Crawlers that connect, greet and ask while the database is away are served when it is back."""
        node = await self.node()
        early = await self.greeted(node, "early")
        self.add_jobs(3)
        held = (await early.take_job())["id"]
        self.shut_database()
        late = await self.crawler(node, "late")
        late.say("hello", crawlerId="late", capabilities=["ack"])
        late.say("job_request", limit=1)
        ref = early.complete(held)
        await until(lambda: node.node.writer.away_since is not None, "the node notices")
        latest = await self.crawler(node, "latest")
        latest.say("hello", crawlerId="latest", capabilities=["ack"])
        latest.say("job_request", limit=1)
        self.assertEqual(await get_json(node.port, "/health/live"), (200, {"status": "live"}))
        self.open_database()
        self.assertEqual((await early.answer(ref))["type"], "ack")
        for crawler in (late, latest):
            await crawler.expect("welcome")
            await crawler.job()
        errors = [message for crawler in (early, late, latest) for message in crawler.of_type("error")]
        self.assertEqual(errors, [])

    @in_reactor()
    async def test_lost_listener(self) -> None:
        """The backend that listens, and serves claims, is terminated: it comes back by itself, and pushes go on."""
        self.patch(node_module, "POLL", 3600.0)
        node = await self.node()
        crawler = await self.greeted(node, maxJobs=5)
        crawler.say("job_request")
        await crawler.expect("job_response")
        backend = await self._end_listener(node)
        gone = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
        await until(lambda: self.query(gone, backend) == [(0,)], "it is gone")
        for number in range(2):
            self.add_jobs(prefix=f"after{number}/")
            await crawler.job(patience=2)
            crawler.say("job_request")
        self.assertNotEqual(await self._listener_of(node), backend)

    async def _listener_of(self, node: InProcessNode) -> object:
        """The process of PostgreSQL that tells *node* what is announced."""
        [(backend,)] = await node.node._claim_connection.query("SELECT pg_backend_pid()")
        return backend

    async def _end_listener(self, node: InProcessNode) -> object:
        """Terminate that process; which it was."""
        backend = await self._listener_of(node)
        self.assertEqual(self.query("SELECT pg_terminate_backend(%s)", backend), [(True,)])
        return backend

    @in_reactor()
    async def test_announced_while_deaf(self) -> None:
        """What was announced while the listener was away is found as soon as it is back, without a poll."""
        self.patch(node_module, "POLL", 3600.0)
        node = await self.node()
        crawler = await self.greeted(node)
        crawler.say("job_request")
        await crawler.expect("job_response")
        await self._end_listener(node)
        self.add_jobs()  # the reactor has not run since
        await crawler.job(patience=3)

    @in_reactor()
    async def test_poll(self) -> None:
        """A job that no notification told of is found by the poll."""
        node = await self.node()
        crawler = await self.greeted(node)
        crawler.say("job_request")
        await crawler.expect("job_response")
        self.query("ALTER TABLE jobs DISABLE TRIGGER jobs_announce")
        self.add_jobs()
        await crawler.job(patience=node_module.POLL + 1.0)
