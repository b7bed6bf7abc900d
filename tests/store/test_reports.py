"""Reports: fencing, folding, discovery, and the verdicts."""

from copilot_socket.core.folding import Verdict
from copilot_socket.core.reports import (
    Completed,
    Failed,
    Progressed,
    Report,
    Started,
)
from copilot_socket.store.writes import Folded, Presence
from tests.support.store import StoreTestCase


class FencingTests(StoreTestCase):
    """Fencing and verdicts."""

    async def test_a_whole_life_in_one_batch(self) -> None:
        """Started, progress and completed fold into one change with everything kept."""
        assignment = await self.assigned()
        verdicts = await self.report(
            assignment,
            Started(),
            Progressed({"processed": 1}, b'{"currentPage": 1}'),
            Progressed({"processed": 2}, b'{"currentPage": 2}'),
            Completed({"finalCounts": {"issue": 2}}),
        )
        self.assertEqual(verdicts, [Verdict.STORED] * 4)
        job = self.job(assignment[:26], "status", "progress", "resume_state", "started_at", "finished_at")
        self.assertEqual(
            job[:3],
            ("completed", {"processed": 2, "finalCounts": {"issue": 2}, "stage": "completed"}, {"currentPage": 2}),
        )
        self.assertNotIn(None, job)

    async def test_a_lost_try_can_not_finish_the_job(self) -> None:
        """After a release the old id is stale, and does not affect the new attempt."""
        assignment = await self.assigned()
        await self.leases.release([assignment], "lost")
        [again] = await self.claim()
        self.assertEqual(await self.report(assignment, Completed({})), [Verdict.STALE])
        self.assertEqual(self.job(again[:26], "status"), ("assigned",))
        self.assertEqual([assignment.split(".")[1], again.split(".")[1]], ["1", "2"])

    async def test_completion_is_idempotent(self) -> None:
        """The same completion is acknowledged again, also after a later attempt; a late failure is stale."""
        assignment = await self.assigned()
        await self.report(assignment, Completed({}))
        self.assertEqual(await self.report(assignment, Completed({})), [Verdict.STORED])
        self.assertEqual(await self.report(assignment, Failed("late", None, True)), [Verdict.STALE])
        self.assertEqual(self.query("SELECT count(*) FROM job_tries"), [(1,)])

    async def test_unknown_ids(self) -> None:
        """Ids that no attempt has had are unknown, also malformed ones."""
        assignment = await self.assigned()
        for name in (
            "",
            ".",
            "x.y.z",
            "01J.1.abc",
            assignment + "x",
            assignment[:26],
            f"{assignment[:26]}.99999999999.a",
        ):
            self.assertEqual(await self.report(name, Started()), [Verdict.UNKNOWN], name)

    async def test_another_connected_crawler_is_unauthorized(self) -> None:
        """While the holder is connected, reports of other crawlers are unauthorized."""
        assignment = await self.assigned()
        await self.present("c2")
        self.assertEqual(await self.report(assignment, Completed({}), key="c2"), [Verdict.UNAUTHORIZED])
        self.assertEqual(self.job(assignment[:26], "status"), ("assigned",))

    async def test_an_orphan_is_adopted(self) -> None:
        """Once the holder is gone, a report of another crawler takes the assignment over."""
        assignment = await self.assigned()
        await self.batches.write(Folded([Presence("c1", "c1", 1, (), False, False)]))
        await self.present("c2")
        self.assertEqual(await self.report(assignment, Progressed({"processed": 1}), key="c2"), [Verdict.STORED])
        self.assertEqual(self.query("SELECT crawler_key FROM job_assignments"), [("c2",)])

    async def test_one_batch_many_jobs(self) -> None:
        """A batch holds good and bad reports of many jobs, and each gets its own verdict."""
        self.add_jobs("a", "b", "c")
        await self.present("c1")
        first, second, third = await self.claim(count=3)
        reports = [
            Report(first, "c1", Started()),
            Report("nonsense", "c1", Started()),
            Report(second, "c1", Failed("broke", "E", True, resume_state=b'{"currentPage": 3}')),
            Report(third, "c1", Completed({})),
            Report(third, "c1", Progressed({})),
        ]
        written = await self.batches.write(Folded(reports))
        self.assertEqual(
            written.verdicts, [Verdict.STORED, Verdict.UNKNOWN, Verdict.STORED, Verdict.STORED, Verdict.STALE]
        )
        self.assertEqual(
            self.job(second[:26], "status", "attempts", "resume_state"), ("queued", 1, {"currentPage": 3})
        )
        self.assertEqual(
            self.query("SELECT error_message, retry_count, resolution FROM job_error_log"),
            [("broke", 0, "queued again, attempt 2 of 3")],
        )
