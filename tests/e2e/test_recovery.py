"""Nodes and crawlers are killed or suspended in the middle of their work."""

import os
import shutil
import signal
import sys

from twisted.internet.task import deferLater

from tests.support.crawler import in_reactor, reactor, until
from tests.support.load import Load
from tests.support.recovery import GRACE, LEASE, SHORT, STALL, STALLED, RecoveryTestCase
from tests.support.server import ServerProcess, run_program, short_directory


class NodeTests(RecoveryTestCase):
    """A node that is killed or stopped."""

    @in_reactor()
    async def test_killed_under_load(self) -> None:
        """After kill -9 under load no acknowledged change is lost, nothing is done twice, nothing stays stuck.

        What crawlers held that never come back is released a grace after their leases.
        """
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
        held = self._held()
        server.environ["SOCKET_LEASE"] = "20000"  # it judges nobody before they are back, however long that takes
        await server.start()
        for crawler in load.crawlers[:4]:  # the others never come back
            await self._come_back(server, load, crawler.name, held.get(crawler.name, []))
        await self.node(**SHORT)  # which releases what the others held
        await until(lambda: self.count("completed") == len(jobs), "all jobs are completed")
        load.stop()
        lost = [name for crawler in load.crawlers[4:8] for name in held.get(crawler.name, [])]
        self.assertEqual(self.assert_released_in_time(GRACE), sorted(lost))
        self.assert_nothing_acknowledged_is_lost(load)
        self.assert_done_once(jobs)
        self.assertEqual(load.refused, [])

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
        server = await self.process(**STALL).start()
        self.add_jobs(6)
        crawlers = await self.group(server, 6)
        held = {crawler: (await crawler.take_job())["id"] for crawler in crawlers}
        for crawler, job in held.items():
            await crawler.told("job_started", job)
        server.send(signal.SIGSTOP)
        try:
            await deferLater(reactor, STALLED)  # how long it lasts is what is tested
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
jobs = []
while not jobs:
    jobs = json.loads(stream.readline())["data"]["jobs"]
job = jobs[0]["id"]
for page in (1, 2, 7):
    say("job_progress", job, stage="fetching", entityType="issue", processed=page,
        resumeState={"currentPage": page, "lastEntityId": str(page)})
    assert json.loads(stream.readline())["type"] == "ack"
print(job, flush=True)
stream.readline()
"""


class CrawlerTests(RecoveryTestCase):
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
        job = await heir.job()
        await program.ended
        lost = program.out.decode().strip()
        self.assertEqual(self.assert_released_in_time(GRACE), [lost])
        self.assertEqual(job["id"].partition(".")[0], lost.partition(".")[0])
        self.assertNotEqual(job["id"], lost)
        self.assertEqual(job["resumeState"], {"currentPage": 7, "lastEntityId": "7"})
        self.assertEqual(job["try"], 2)
