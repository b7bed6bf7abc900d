"""The turn: reports and claims in one statement."""

from copilot_socket.core.folding import Verdict
from copilot_socket.core.jobs import PLAIN_ENTITY_TYPES
from copilot_socket.core.reports import Completed, Failed, Given, Report, Started
from copilot_socket.store.operations import Folded
from copilot_socket.store.turns import Ahead
from tests.support.store import StoreTestCase

ONE = Ahead(1, PLAIN_ENTITY_TYPES)


class TurnTests(StoreTestCase):
    """Batches.write() with claims ahead."""

    async def test_the_next_job_with_the_completion(self) -> None:
        """The statement that ends a job claims the next for the node; whose it becomes is put down by another."""
        first = await self.assigned("g/1")
        [second] = self.add_jobs("g/2")
        written = await self.batches.write(Folded([Report(first, "c1", Completed({}))]), ONE)
        self.assertEqual(written.verdicts, [Verdict.STORED])
        [claimed] = written.claim.jobs
        self.assertEqual((claimed.assignment.partition(".")[0], claimed.crawler), (second, None))
        self.assertEqual(self.job(first.partition(".")[0], "status"), ("completed",))
        self.assertEqual(self.job(second, "status", "tries"), ("assigned", 1))
        self.assertEqual([job.assignment for job in await self.claims.reserved()], [claimed.assignment])
        before = self.job(second, "updated_at")
        await self.report(claimed.assignment, Given())
        self.assertEqual(self.job(second, "updated_at"), before)
        held = "SELECT crawler_key, reported_at FROM job_assignments WHERE completed_at IS NULL"
        self.assertEqual(self.query(held), [("c1", None)])
        self.assertEqual(await self.claims.reserved(), [])

    async def test_given_and_reported_in_one_batch(self) -> None:
        """All of it is one change."""
        assignment = await self.reserved()
        reports = [Report(assignment, "c1", body) for body in (Given(), Started(), Completed({"n": 1}))]
        self.assertEqual((await self.batches.write(Folded(reports))).verdicts, [Verdict.STORED] * 3)
        self.assertEqual(self.query("SELECT crawler_key, outcome FROM job_tries"), [("c1", "completed")])

    async def test_whoever_was_given_the_id(self) -> None:
        """What a node handed out and could not put down is the crawler's that reports on it, and no other's then."""
        assignment = await self.reserved()
        await self.present("c2")
        self.assertEqual(await self.report(assignment, Started()), [Verdict.STORED])
        other = await self.batches.write(Folded([Report(assignment, "c2", Completed({}))]))
        self.assertEqual(other.verdicts, [Verdict.UNAUTHORIZED])

    async def test_nothing_beside_a_failure(self) -> None:
        """A failure takes more than one statement: nothing is claimed with it."""
        first = await self.assigned("g/1")
        self.add_jobs("g/2")
        written = await self.batches.write(Folded([Report(first, "c1", Failed("no", None, True))]), ONE)
        self.assertEqual(written.claim.jobs, [])
        self.assertEqual(await self.claims.reserved(), [])

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
