"""A node that is asked to stop: everything accepted is committed and acknowledged, running work keeps its leases."""

import os
import shutil
import signal
from pathlib import Path

from copilot_socket.store import migrate
from copilot_socket.store.embedded import EmbeddedPostgres
from tests.support.crawler import in_reactor, reactor, until
from tests.support.postgres import FAST, admin, execute, reachable_directory
from tests.support.server import NodeTestCase, ServerProcess

REPORTS = 4000
"""More than one batch of the writer holds."""


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
        for crawler, job in zip(crawlers, held, strict=True):
            for number_of_report in range(REPORTS // 8 - 1):
                crawler.progress(job, number_of_report)
        finished = held[:4]
        for crawler, job in zip(crawlers, finished, strict=False):
            crawler.complete(job)
        # The first ack says that the node is in the midst of it.
        await crawlers[0].expect("ack")
        acked_before = sum(len(crawler.of_type("ack")) for crawler in crawlers)
        self.assertLess(acked_before, REPORTS // 2, "nothing was left to drain")
        self.assertEqual(await server.stop(number), 0, server.log)
        for crawler in crawlers:
            await crawler.closed
            [shutdown] = crawler.of_type("shutdown")
            self.assertEqual((shutdown["data"]["scope"], shutdown["data"]["graceful"]), ("node", True))
            self.assertEqual(shutdown["data"]["timeout_seconds"], 4)
        self._holds_what_was_acknowledged(crawlers, held)
        self.assertFalse(Path(server.socket_path).exists(), "the socket file is left behind")
        self.assertEqual(len(jobs), self.count("completed") + self.count("running") + self.count("assigned"))

    def _holds_what_was_acknowledged(self, crawlers: list, held: list[str]) -> None:
        for crawler, job in zip(crawlers, held, strict=True):
            acked = {ack["data"]["ref"] for ack in crawler.of_type("ack")}
            reports = [ack for ack in crawler.of_type("ack") if ack["data"]["type"] == "job_progress"]
            [(processed, status)] = self.query(
                "SELECT (progress->>'processed')::int, status FROM jobs WHERE id = %s", job.partition(".")[0]
            )
            # Acks come in order: the last one is of the furthest progress.
            self.assertEqual(processed, len(reports) - 1)
            done = any(ack["data"]["type"] == "job_completed" for ack in crawler.of_type("ack"))
            self.assertEqual(status == "completed", done, f"{len(acked)} acks")
