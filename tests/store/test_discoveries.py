"""Discoveries: areas and jobs, slices, and the order with their crawler's other reports."""

from typing import Any

from twisted.internet.defer import gatherResults

from copilot_socket.core.folding import Verdict
from copilot_socket.core.jobs import SPAWNS, Event
from copilot_socket.core.reports import Completed, Discovered, Found, Report, Started
from copilot_socket.store import discoveries
from copilot_socket.store import writer as writer_module
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.write_queue import Unstorable
from tests.support.crawler import until
from tests.support.postgres import admin
from tests.support.store import StoreTestCase

FOUND = Discovered(
    (Found("crawl_group", "g", "G", 7), Found("crawl_project", "g/p", "P", 8, 5)),
    {"discoverySummary": {"total_groups": 1}},
)


class DiscoveryTests(StoreTestCase):
    """jobs_discovered and discovery."""

    async def test_areas_authorisations_jobs_and_progress(self) -> None:
        """One discovery creates all areas and jobs, with their parent."""
        assignment = await self.assigned("top")
        await self.report(assignment, Started(), FOUND)
        self.assertEqual(
            self.query("SELECT gitlab_origin, full_path, gitlab_id, name, type FROM areas ORDER BY 2"),
            [("http://gitlab.test", "g", 7, "G", "group"), ("http://gitlab.test", "g/p", 8, "P", "project")],
        )
        self.assertEqual(
            self.query("SELECT account_id, full_path FROM area_authorizations ORDER BY 2"),
            [("acct", "g"), ("acct", "g/p")],
        )
        self.assertEqual(
            self.query(
                "SELECT command, full_path, priority, spawned_from, provider FROM jobs "
                "WHERE spawned_from IS NOT NULL ORDER BY 1"
            ),
            sorted(
                (command, path, priority, assignment[:26], "gitlab-onprem")
                for kind, path, priority in (("crawl_group", "g", 0), ("crawl_project", "g/p", 5))
                for command in SPAWNS[kind]
            ),
        )

    async def test_twice_changes_nothing(self) -> None:
        """A repeated discovery spawns no live or finished child again."""
        assignment = await self.assigned()
        await self.report(assignment, FOUND)
        self.query("UPDATE jobs SET status = 'completed' WHERE command = 'group'")
        before = self.query("SELECT id FROM jobs ORDER BY id")
        self.assertEqual(await self.report(assignment, FOUND, FOUND), [Verdict.STORED] * 2)
        self.assertEqual(self.query("SELECT id FROM jobs ORDER BY id"), before)

    async def test_completion_keeps_what_discovery_recorded(self) -> None:
        """The summary is still there when the job is done."""
        assignment = await self.assigned()
        await self.report(assignment, FOUND)
        await self.report(assignment, Completed({"finalCounts": {"areas": 2}}))
        self.assertEqual(
            self.job(assignment[:26], "progress"),
            (
                {
                    "discoverySummary": {"total_groups": 1},
                    "finalCounts": {"areas": 2},
                    "stage": "completed",
                },
            ),
        )

    async def test_a_stale_discovery_changes_nothing(self) -> None:
        """No areas, no jobs."""
        assignment = await self.assigned()
        await self.transitions.apply([assignment[:26]], Event.CANCELLED)
        self.assertEqual(await self.report(assignment, FOUND), [Verdict.STALE])
        self.assertEqual(self.query("SELECT count(*) FROM areas"), [(0,)])
        self.assertEqual(self.query("SELECT count(*) FROM jobs"), [(1,)])


def projects(count: int) -> Discovered:
    """A discovery of that many projects."""
    return Discovered(tuple(Found("crawl_project", f"g/{n}", f"P{n}", n) for n in range(count)))


class SliceTests(StoreTestCase):
    """Large discoveries."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(discoveries, "SLICE", 2)
        self.patch(writer_module, "WAIT_FIRST", 0.0)
        self.stored: list[int] = []
        real = self.discoveries.store

        async def store(part: discoveries.Slice) -> Verdict:
            verdict = await real(part)
            self.stored.append(len(part.found))
            await self.between(len(self.stored))
            return verdict

        self.patch(self.discoveries, "store", store)

    async def between(self, _number: int) -> None:
        """Called after each slice with the number of stored slices; a test overrides it."""

    def children(self) -> int:
        """The number of spawned jobs."""
        return int(str(self.query("SELECT count(*) FROM jobs WHERE spawned_from IS NOT NULL")[0][0]))

    async def test_slice_by_slice(self) -> None:
        """All slices are stored, with one verdict."""
        assignment = await self.assigned("top")
        self.assertEqual(await self.report(assignment, projects(5)), [Verdict.STORED])
        self.assertEqual(self.stored, [2, 2, 1])
        self.assertEqual(self.children(), 5 * len(SPAWNS["crawl_project"]))

    async def test_an_empty_one(self) -> None:
        """The summary of an empty discovery is stored."""
        assignment = await self.assigned("top")
        await self.report(assignment, Discovered((), {"discoverySummary": {"total_groups": 0}}))
        self.assertEqual(self.job(assignment[:26], "progress"), ({"discoverySummary": {"total_groups": 0}},))

    async def test_a_slice_whose_outcome_is_unknown(self) -> None:
        """A slice with an unknown outcome is written again, which changes nothing."""
        lost = [DatabaseAway("the connection was lost after COMMIT")]

        async def between(number: int) -> None:
            if number == 2 and lost:
                raise lost.pop()

        self.between = between  # type: ignore[method-assign]
        assignment = await self.assigned("top")
        self.assertEqual(await self.report(assignment, projects(5)), [Verdict.STORED])
        self.assertEqual(self.stored, [2, 2, 2, 1])
        self.assertEqual(self.children(), 5 * len(SPAWNS["crawl_project"]))

    async def test_cancelled_in_the_middle(self) -> None:
        """The remaining slices are stale, and not stored."""

        async def between(number: int) -> None:
            if number == 1:
                await self.transitions.apply([assignment[:26]], Event.CANCELLED)

        self.between = between  # type: ignore[method-assign]
        assignment = await self.assigned("top")
        self.assertEqual(await self.report(assignment, projects(5), Completed({})), [Verdict.STALE, Verdict.STALE])
        self.assertEqual(self.stored, [2, 0 + 2])
        self.assertEqual(self.children(), 2 * len(SPAWNS["crawl_project"]))

    async def test_refused(self) -> None:
        """A refused discovery fails alone; later reports of its crawler are stored."""
        self.query("ALTER TABLE areas ADD CHECK (full_path <> 'g/3')")
        assignment = await self.assigned("top")
        discovered = self.writer.submit(Report(assignment, "c1", projects(5)))
        completed = self.writer.submit(Report(assignment, "c1", Completed({})))
        await self.assertFailure(discovered, Unstorable)
        self.assertEqual(await completed, Verdict.STORED)
        await self.writer.drained()


class OrderTests(StoreTestCase):
    """In order with the crawler's other reports, beside those of others."""

    async def test_before_and_behind(self) -> None:
        """Earlier reports are stored before a discovery, the end of its job after it."""
        assignment = await self.assigned("top")
        verdicts = await self.report(assignment, Started(), projects(3), Completed({}), projects(1), Completed({}))
        stored = Verdict.STORED
        self.assertEqual(verdicts, [stored, stored, stored, Verdict.STALE, stored])
        [(jobs, areas)] = self.query("SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM areas)")
        self.assertEqual((jobs, areas), (1 + 3 * len(SPAWNS["crawl_project"]), 3))
        self.assertEqual(self.job(assignment[:26], "status"), ("completed",))

    async def test_nobody_waits_for_one_that_waits(self) -> None:
        """While a lock delays a discovery, reports of other crawlers are stored; those of its crawler wait."""
        self.add_jobs("a", "b")
        await self.present("c1", "c2")
        [mine], [other] = await self.claim("c1"), await self.claim("c2")
        events: list[str] = []

        def note(what: str) -> Any:
            return lambda _verdict: events.append(what)

        with admin(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN; LOCK TABLE areas")
            discovered = self.writer.submit(Report(mine, "c1", projects(1))).addCallback(note("discovery"))
            completed = self.writer.submit(Report(mine, "c1", Completed({}))).addCallback(note("its completion"))
            await until(lambda: self.query("SELECT count(*) FROM pg_locks WHERE NOT granted") == [(1,)])
            await self.writer.submit(Report(other, "c2", Completed({}))).addCallback(note("another's"))
            drained = self.writer.drained().addCallback(note("drained"))
            cursor.execute("COMMIT")
        await gatherResults([discovered, completed, drained])
        self.assertEqual(events, ["another's", "discovery", "its completion", "drained"])
        self.assertEqual(self.job(mine[:26], "status"), ("completed",))
