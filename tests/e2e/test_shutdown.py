"""A node that is asked to stop: everything accepted is committed and acknowledged, running work keeps its leases."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from copilot_socket.core.reports import Report
from copilot_socket.store.write_queue import MAX_BATCH, Outcome
from copilot_socket.store.writes import Write
from tests.support.crawler import TestCrawler, in_reactor, until
from tests.support.postgres import admin
from tests.support.server import NodeTestCase, ServerProcess

REPORTS = 4000
"""More than one batch of the writer holds."""


@contextmanager
def stalled(url: str) -> Iterator[None]:
    """Block writes to ``job_assignments`` inside the block."""
    with admin(url) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE job_assignments")
        yield
        cursor.execute("ROLLBACK")


def _more_than_a_batch(server: ServerProcess) -> bool:
    """Whether so many reports wait to be committed. Blocks."""
    with urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=60) as page:
        found = re.search(rb"^copilot_writes_queued (\S+)$", page.read(), re.MULTILINE)
    return found is not None and float(found[1]) > MAX_BATCH


class DrainingTests(NodeTestCase):
    """SIGTERM and SIGINT."""

    @in_reactor()
    async def test_terminate(self) -> None:
        """On SIGTERM with thousands of reports queued, all that were accepted are committed and acknowledged."""
        await self._drains(signal.SIGTERM)

    @in_reactor()
    async def test_interrupt(self) -> None:
        """SIGINT does the same."""
        await self._drains(signal.SIGINT)

    async def _drains(self, number: int) -> None:
        server = await self.process(SOCKET_RECONNECT_GRACE="0").start()
        jobs = self.add_jobs(8)
        crawlers = [await self.greeted(server, f"c{n}") for n in range(8)]
        held = [(await crawler.take_job())["id"] for crawler in crawlers]
        with stalled(self.database_url):
            for crawler, job in zip(crawlers, held, strict=True):
                for number_of_report in range(REPORTS // 8 - 1):
                    crawler.progress(job, number_of_report)
            finished = held[:4]
            for crawler, job in zip(crawlers, finished, strict=False):
                crawler.complete(job)

            await until(lambda: deferToThread(_more_than_a_batch, server), "more than a batch is queued")
            server.send(number)
            await crawlers[0].expect("shutdown")
        self.assertEqual(await server.exit_status(), 0, server.log)
        for crawler in crawlers:
            await crawler.closed
            [shutdown] = crawler.of_type("shutdown")
            self.assertEqual((shutdown["data"]["scope"], shutdown["data"]["graceful"]), ("node", True))
            self.assertEqual(shutdown["data"]["timeout_seconds"], 4)
        self._holds_what_was_acknowledged(crawlers, held)
        self.assertFalse(Path(server.socket_path).exists(), "the socket file is left behind")
        self.assertEqual(len(jobs), self.count("completed") + self.count("running") + self.count("assigned"))

    @in_reactor()
    async def test_everything_accepted(self) -> None:
        """All that was read when the node began to stop, more than a batch of it, is committed and acknowledged."""
        node = await self.node()
        writer = node.node.writer
        enqueue, accepted = writer.enqueue, []

        def count(write: Write, outcome: Outcome) -> None:
            if isinstance(write, Report):
                accepted.append(write)
            enqueue(write, outcome)

        self.patch(writer, "enqueue", count)
        self.add_jobs(4)
        crawlers = [await self.greeted(node, f"c{n}") for n in range(4)]
        held = [(await crawler.take_job())["id"] for crawler in crawlers]
        with stalled(self.database_url):
            for crawler, job in zip(crawlers, held, strict=True):
                for processed in range(REPORTS // 4):
                    crawler.progress(job, processed)
            await until(lambda: writer.waiting > 2 * MAX_BATCH, "more than one batch is queued")
            stopped = Deferred.fromCoroutine(node.stop())
        await stopped
        self.assertEqual(writer.waiting, 0)
        for crawler in crawlers:
            await crawler.closed
        self.assertEqual(sum(len(crawler.of_type("ack")) for crawler in crawlers), len(accepted))

    def _holds_what_was_acknowledged(self, crawlers: list[TestCrawler], held: list[str]) -> None:
        for crawler, job in zip(crawlers, held, strict=True):
            acked = {ack["data"]["ref"] for ack in crawler.of_type("ack")}
            reports = [ack for ack in crawler.of_type("ack") if ack["data"]["type"] == "job_progress"]
            [(processed, status)] = self.query(
                "SELECT (progress->>'processed')::int, status FROM jobs WHERE id = %s", job.partition(".")[0]
            )
            # Acks are ordered: the last one is of the furthest progress.
            self.assertEqual(processed, len(reports) - 1)
            done = any(ack["data"]["type"] == "job_completed" for ack in crawler.of_type("ack"))
            self.assertEqual(status == "completed", done, f"{len(acked)} acks")


class LeaseTests(NodeTestCase):
    """Work that runs while the node stops."""

    @in_reactor()
    async def test_running_work_goes_on(self) -> None:
        """Running assignments keep their leases; their crawlers come back to the next node and finish."""
        server = await self.process(SOCKET_LEASE="20000").start()
        self.add_jobs()
        crawler = await self.greeted(server, "c1")
        job = (await crawler.take_job())["id"]
        await crawler.told("job_started", job)
        self.assertEqual(await server.stop(), 0, server.log)
        lasting = "SELECT 1 FROM crawlers WHERE crawler_id = 'c1' AND lease_expires_at > now() + interval '5 s'"
        self.assertEqual(self.query(lasting), [(1,)])
        self.assertEqual(self.status_of(job), "running")
        self.assertEqual(self.query("SELECT is_active FROM socket_connections"), [(False,)])
        await server.start()
        back = await self.greeted(server, "c1", assignments=[job])
        self.assertEqual((await back.answer(back.complete(job)))["type"], "ack")
        self.assertEqual(self.query("SELECT outcome FROM job_tries"), [("completed",)])

    @in_reactor()
    async def test_standing_request(self) -> None:
        """A stopping node sends no more jobs: a new job stays queued for the next node."""
        server = await self.process(SOCKET_SHUTDOWN_TIMEOUT="2000").start()
        crawler = await self.greeted(server, "c1")
        crawler.say("job_request")
        await crawler.expect("job_response")
        with stalled(self.database_url):
            server.send(signal.SIGTERM)
            await crawler.expect("shutdown")
            self.add_jobs()
            await server.exit_status()
        self.assertEqual(crawler.jobs(), [])
        self.assertEqual(self.count("queued"), 1)


class AwayTests(NodeTestCase):
    """A node that is asked to stop while its database is away."""

    async def _with_unwritten(self, **environ: str) -> tuple[ServerProcess, TestCrawler, str]:
        """A node that has accepted a report and can't write it, since nobody may connect to its database."""
        server = await self.process(**environ).start()
        self.add_jobs()
        crawler = await self.greeted(server)
        job = (await crawler.take_job())["id"]
        self.shut_database()
        crawler.progress(job, 1)
        await until(lambda: "The database is away" in server.log, "the node notices that its database is away")
        return server, crawler, job

    @in_reactor()
    async def test_ends_in_time(self) -> None:
        """With the database away the node gives up after SOCKET_SHUTDOWN_TIMEOUT and acknowledges nothing."""
        server, crawler, job = await self._with_unwritten(SOCKET_SHUTDOWN_TIMEOUT="1000")
        self.assertEqual(await server.stop(), 0, server.log)
        self.assertIn("1 reports were not committed in time", server.log)
        await crawler.closed
        self.assertEqual(crawler.of_type("ack"), [])
        self.assertFalse(Path(server.socket_path).exists(), "the socket file is left behind")
        self.open_database()
        self.assertEqual(self.status_of(job), "assigned", "the crawler keeps its job, and reports again")

    @in_reactor()
    async def test_second_signal(self) -> None:
        """A second signal ends the node immediately, while the first one still waits for the database."""
        server, crawler, _ = await self._with_unwritten(SOCKET_SHUTDOWN_TIMEOUT="60000")
        server.send(signal.SIGTERM)
        await crawler.expect("shutdown")
        self.assertEqual(await server.stop(signal.SIGINT), 128 + signal.SIGINT)
        self.assertNotIn("not committed in time", server.log, "the wait has ended")
        self.assertEqual(crawler.of_type("ack"), [])
