"""The turn: reports and claims in one statement."""

from copilot_socket.core.folding import Verdict
from copilot_socket.core.reports import Completed, Report
from copilot_socket.store.operations import Folded
from tests.support.store import StoreTestCase, planned


class TurnTests(StoreTestCase):
    """Batches.write() with a plan."""

    async def test_the_next_job_with_the_completion(self) -> None:
        """The statement that ends a job claims the next one for its crawler."""
        first = await self.assigned("g/1")
        [second] = self.add_jobs("g/2")
        written = await self.batches.write(Folded([Report(first, "c1", Completed({}))]), planned("c1"))
        self.assertEqual(written.verdicts, [Verdict.STORED])
        [claimed] = written.claim.jobs
        self.assertEqual((claimed.assignment.partition(".")[0], claimed.crawler), (second, "c1"))
        self.assertEqual(self.job(first.partition(".")[0], "status"), ("completed",))
        self.assertEqual(self.job(second, "status", "tries"), ("assigned", 1))
        held = "SELECT crawler_key, reported_at FROM job_assignments WHERE completed_at IS NULL"
        self.assertEqual(self.query(held), [("c1", None)])

    async def test_a_try_that_is_superseded_is_kept(self) -> None:
        """How a try ended stands beside the assignment until the next one takes its place; both are told as tries."""
        first = await self.assigned("g/1")
        await self.leases.release([first], "lost")
        tries = "SELECT crawler_job_id, outcome, reason FROM job_tries ORDER BY try"
        self.assertEqual(self.query(tries), [(first, "released", "lost")])
        [second] = await self.claim()
        self.assertEqual(self.query(tries), [(first, "released", "lost")])
        await self.report(second, Completed({}))
        self.assertEqual(self.query(tries), [(first, "released", "lost"), (second, "completed", None)])
