"""The time of day is set while a node works."""

import sys
from pathlib import Path

from tests.support.crawler import in_reactor, reactor
from tests.support.recovery import GRACE, LEASE, SHORT, RecoveryTestCase
from tests.support.server import ServerProcess

# Becomes twistd with a time of day that is set by as many seconds as stand in the file named first, once it is there.
SET_BY = """
import os, sys, time
real, path = time.time, sys.argv[1]
def set_by(): return float(open(path).read() or 0) if os.path.exists(path) else 0.0
time.time = lambda: real() + set_by()
sys.argv[:] = sys.argv[2:]
from twisted.scripts.twistd import run
run()
"""

# An hour is longer than the grace, too, which no node that stands still for a while exceeds.
TIMES = {**SHORT, "SOCKET_RECONNECT_GRACE": "20000"}


class ClockTests(RecoveryTestCase):
    """A node whose clock is wrong beside one whose clock is right."""

    async def _node_to_set(self) -> tuple[ServerProcess, Path]:
        """A node, and the file that sets its time of day."""
        node = self.process(**TIMES)
        clock = node.directory / "set-by"
        node.wrapper = [sys.executable, "-c", SET_BY, str(clock)]
        return await node.start(), clock

    @in_reactor()
    async def test_set_back_and_forward(self) -> None:
        """A crawler that goes on sending heartbeats keeps its job, and jobs that fall due are handed out."""
        node, clock = await self._node_to_set()
        self.add_jobs()
        crawler = await self.greeted(node, maxJobs=2)
        job = await crawler.take_job()
        await crawler.told("job_started", job["id"])
        other = await self.greeted(await self.node(**TIMES), "other", entityTypes=["epics"])
        for set_by in ("-3600", "3600"):
            clock.write_text(set_by)
            end = reactor.seconds() + 2 * (LEASE + GRACE)
            while reactor.seconds() < end:
                for each in (crawler, other):
                    await each.answer(each.heartbeat())
                self.assertEqual(self.status_of(job["id"]), "running", f"the clock was set by {set_by} s")
            self.query(
                "INSERT INTO jobs (account_id, command, full_path, scheduled_at) "
                "VALUES ('acct', 'issues', %s, now() + interval '300 ms')",
                f"due/{set_by}",
            )
            due = await crawler.take_job()
            self.assertEqual(due["fullPath"], f"due/{set_by}")
            await crawler.answer(crawler.complete(due["id"]))
        self.assertEqual((await crawler.answer(crawler.complete(job["id"])))["type"], "ack")
