"""The turn: reports and claims in one statement."""

from copilot_socket.core.folding import Verdict
from copilot_socket.core.reports import Completed, Failed, Progressed, Report
from copilot_socket.store.turns import Wants
from tests.support.store import PLAIN_COMMANDS, StoreTestCase

ONE = Wants({"c1": 1}, PLAIN_COMMANDS)
IN_ITS_PLACE = Wants({"c1": 1}, PLAIN_COMMANDS, {"c1": 1})


class TurnTests(StoreTestCase):
    """Batches.write() with wants."""

    async def test_the_next_job_with_the_completion(self) -> None:
        """A crawler that may hold one job is given the next in the statement that ends the first."""
        first = await self.assigned("g/1")
        await self.present("c1", max_jobs=1)
        [second] = self.add_jobs("g/2")
        written = await self.batches.write([Report(first, "c1", Completed({}))], IN_ITS_PLACE)
        self.assertEqual(written.verdicts, [Verdict.STORED])
        assert written.claim is not None
        [claimed] = written.claim.jobs
        self.assertEqual((claimed.assignment.partition(".")[0], claimed.crawler), (second, "c1"))
        self.assertEqual(self.job(first.partition(".")[0], "status"), ("completed",))
        self.assertEqual(self.job(second, "status", "tries"), ("assigned", 1))

    async def test_no_room_without_a_completion(self) -> None:
        """Progress makes no room, nor does a report on a try that has ended before."""
        gone = await self.assigned("g/1")
        await self.report(gone, Completed({}))
        await self.present("c1", max_jobs=1)
        held = await self.assigned("g/2")
        await self.present("c1", max_jobs=1)
        self.add_jobs("g/3")
        reports = [Report(held, "c1", Progressed({"processed": 1})), Report(gone, "c1", Completed({}))]
        written = await self.batches.write(reports, ONE)
        self.assertEqual(written.verdicts, [Verdict.STORED, Verdict.STORED])
        assert written.claim is not None
        self.assertEqual(written.claim.jobs, [])

    async def test_nothing_beside_a_failure(self) -> None:
        """A failure takes more than one statement: nothing is claimed with it."""
        first = await self.assigned("g/1")
        self.add_jobs("g/2")
        written = await self.batches.write([Report(first, "c1", Failed("no", None, True))], ONE)
        self.assertIsNone(written.claim)

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
