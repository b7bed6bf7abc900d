"""PostgreSQL and its connections are killed in the middle of their work."""

import os
import shutil
import signal
from typing import Any

from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from copilot_socket import periodic
from copilot_socket.store import migrate
from copilot_socket.store.embedded import EmbeddedPostgres
from copilot_socket.store.faults import DatabaseAway
from tests.support.acts import ACT
from tests.support.crawler import TestCrawler, in_reactor, reactor, until
from tests.support.load import Load
from tests.support.postgres import FAST, reachable_directory
from tests.support.recovery import STALL, STALLED, RecoveryTestCase
from tests.support.server import InProcessNode, get_json


def _pending(node: InProcessNode, key: str) -> int:
    crawler = node.node.registry.get(key)
    assert crawler is not None
    return crawler.pending


class DatabaseTests(RecoveryTestCase):
    """PostgreSQL that is killed, and connections that are lost."""

    def _own_postgres(self) -> EmbeddedPostgres:
        """A server of this test's own, with the schema; the test's queries go there."""
        directory = reachable_directory()
        postgres = EmbeddedPostgres(directory, FAST)
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.addCleanup(postgres.stop, only_if_unused=False)
        self.database_url = postgres.start()
        migrate.upgrade(self.database_url, ACT)
        self.add_account()
        return postgres

    @in_reactor()
    async def test_killed_under_load(self) -> None:
        """After kill -9 of PostgreSQL under load reading stops until it is back; nothing is lost or taken away."""
        postgres = self._own_postgres()
        server = await self.process(**STALL).start()
        jobs = self.add_jobs(160)
        load = Load(await self.group(server, 8))
        holders = await self.group(server, 2, "holder")
        held = {holder: (await holder.take_job())["id"] for holder in holders}
        load.start()

        def under_way() -> bool:
            for holder in holders:
                holder.heartbeat()
            return len(load.completed) >= 30

        await until(under_way, "the load runs")
        pid = postgres.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        written: list[tuple[TestCrawler, str]] = []

        def noticed() -> bool:
            """Whatever the load is doing, something has to be written, and nobody is silent until reading stops."""
            written.extend((holder, holder.progress(job, 1)) for holder, job in held.items())
            return "reading from crawlers is paused" in server.log

        await until(noticed, "reading stops")
        unread = [holder.heartbeat() for holder in holders]
        completed_before = set(load.completed)
        await deferLater(reactor, STALLED)  # how long it lasts is what is tested
        self.assertEqual(load.completed, completed_before, "acknowledged without a database")
        acked = {message["data"]["ref"] for holder in holders for message in holder.of_type("ack")}
        self.assertFalse(acked.intersection(unread), "read without a database")
        await deferToThread(postgres.start)  # the crawlers live in this process and go on heartbeating
        for holder, ref in (*written, *zip(holders, unread, strict=True)):
            if ref not in acked:
                await holder.answer(ref)
        self.assert_nothing_acknowledged_is_lost(load)
        for holder, job in held.items():
            await load.finish(holder, job)
        await until(lambda: self.count("completed") == len(jobs), "all jobs are completed")
        load.stop()
        self.assert_nothing_acknowledged_is_lost(load)
        self.assert_done_once(jobs)
        taken = self.query("SELECT outcome, reason FROM job_tries WHERE outcome <> 'completed'")
        self.assertEqual(taken, [], "a stall of the database took work from live crawlers")
        self.assertEqual(load.refused, [])
        self.assertEqual(await server.stop(), 0, server.log)

    @in_reactor()
    async def test_unknown_outcome_of_a_claim(self) -> None:
        """A job whose claim was committed just when the connection was lost still reaches its crawler."""
        node = await self.node()
        batches = node.node.writer._batches
        real = batches.claim
        crawler = await self.greeted(node, "c1", maxJobs=1)
        lost: list[str] = []

        async def lose(*arguments: Any) -> Any:
            claim = await real(*arguments)
            if claim.jobs and not lost:
                lost.append(claim.jobs[0].assignment)
                raise DatabaseAway("the connection was lost after COMMIT")
            return claim

        self.patch(batches, "claim", lose)
        self.add_jobs()
        job = await crawler.take_job()
        self.assertEqual([job["id"]], lost)
        self.assertEqual((await crawler.answer(crawler.complete(job["id"])))["type"], "ack")
        self.assertEqual(crawler.jobs(), lost, "it was sent once")

    @in_reactor()
    async def test_unknown_outcome_of_a_claim_for_a_busy_crawler(self) -> None:
        """The same when that crawler has reported on another job in the meantime, which is not stored yet."""
        node = await self.node()
        batches = node.node.writer._batches
        claim, write = batches.claim, batches.write
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
        self.patch(batches, "claim", lose)
        self.patch(batches, "write", wait)
        self.add_jobs(prefix="second/")
        second = await crawler.job()
        away[0] = False
        self.assertEqual([second["id"]], lost)

    @in_reactor()
    async def test_unknown_outcome_of_a_write(self) -> None:
        """Reports with an unknown outcome are written again, and acknowledged."""
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
        """Crawlers that connect and request jobs while the database is away are served when it is back."""
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
        self.assertEqual(await get_json(node.port, "/health/live", token=None), (200, {"status": "live"}))
        self.open_database()
        self.assertEqual((await early.answer(ref))["type"], "ack")
        for crawler in (late, latest):
            await crawler.expect("welcome")
            await crawler.job()
        errors = [message for crawler in (early, late, latest) for message in crawler.of_type("error")]
        self.assertEqual(errors, [])

    @in_reactor()
    async def test_lost_listener(self) -> None:
        """The backend that listens is terminated: it comes back by itself, and pushes go on."""
        node = await self.node()
        crawler = await self.greeted(node, maxJobs=5)
        crawler.say("job_request")
        await crawler.expect("job_response")
        backend = await self._end_listener(node)
        gone = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
        await until(lambda: self.query(gone, backend) == [(0,)], "it is gone")
        for number in range(2):
            self.add_jobs(prefix=f"after{number}/")
            await crawler.job()
            crawler.say("job_request")
        self.assertNotEqual(await self._listener_of(node), backend)

    async def _listener_of(self, node: InProcessNode) -> object:
        """The PostgreSQL process that sends notifications to *node*."""
        [(backend,)] = await node.node._listener._connection.query("SELECT pg_backend_pid()")
        return backend

    async def _end_listener(self, node: InProcessNode) -> object:
        """Terminate that process; returns its id."""
        backend = await self._listener_of(node)
        self.assertEqual(self.query("SELECT pg_terminate_backend(%s)", backend), [(True,)])
        return backend

    @in_reactor()
    async def test_announced_while_deaf(self) -> None:
        """Jobs inserted while the listener was away are found as soon as it is back."""
        node = await self.node()
        crawler = await self.greeted(node)
        crawler.say("job_request")
        await crawler.expect("job_response")
        await self._end_listener(node)
        self.add_jobs()  # the reactor has not run since
        await crawler.job()

    @in_reactor()
    async def test_poll(self) -> None:
        """A job without a notification is found by the read of all lanes."""
        self.patch(periodic, "LANES", 1.0)
        node = await self.node()
        crawler = await self.greeted(node)
        crawler.say("job_request")
        await crawler.expect("job_response")
        self.query("ALTER TABLE jobs DISABLE TRIGGER jobs_announce")
        self.add_jobs()
        await crawler.job()
