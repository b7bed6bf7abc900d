"""What crawlers hold and how they have done of late, over HTTP."""

from collections.abc import Mapping
from typing import Any, cast

from copilot_socket.core.crawler_ends import SLICE, Ends, Key
from copilot_socket.core.ends import Cause
from copilot_socket.store.cleanup import Cleanup
from copilot_socket.store.crawler_lists import CrawlerLists
from copilot_socket.store.database import Database
from copilot_socket.store.history import History
from copilot_socket.store.listing import Lists, Page
from tests.http.harness import SiteTestCase
from tests.support.explained import ExplainedDatabase
from tests.support.postgres import DatabaseTestCase

CRAWLERS = "/api/v1/crawlers"


class CrawlerTests(SiteTestCase):
    """GET under /api/v1/crawlers."""

    def setUp(self) -> None:
        super().setUp()
        self.query(
            "INSERT INTO crawlers (key, crawler_id, node_id, lease_expires_at, max_jobs, entity_types, plain,"
            " version) SELECT 'hello:' || id, id, 'n1', now() + '1 min', 2, '{issue}', false, 'v1'"
            " FROM unnest('{a,b}'::text[]) AS id"
        )

    def now(self) -> int:
        """The database's time."""
        return int(str(self.query("SELECT extract(epoch FROM now())::int")[0][0]))

    async def recent(self, crawler: str) -> Mapping[str, Any]:
        """How its attempts ended."""
        return cast(Mapping[str, Any], (await self.get(f"{CRAWLERS}/{crawler}")).document["recent"])

    async def test_recent(self) -> None:
        """Attempts of the last hour count by cause, of all nodes together; what is written again replaces itself."""
        now = self.now()
        at = now // SLICE * SLICE
        history = History(self.database)
        await history.record("n1", {}, {Key(at, "hello:a", Cause.COMPLETED): Ends(1, 1, 9.0)})
        ends = {
            Key(at, "hello:a", Cause.COMPLETED): Ends(3, 3, 6.0),
            Key(at - SLICE, "hello:a", Cause.TIMED_OUT): Ends(1, 1, 2.0),
            Key(at - SLICE, "hello:a", Cause.CRAWLER_LOST): Ends(2, 0, 0.0),
            Key(at - 3600 - SLICE, "hello:a", Cause.COMPLETED): Ends(100, 100, 100.0),
            Key(at, "hello:c", Cause.COMPLETED): Ends(100, 100, 100.0),
        }
        await history.record("n1", {}, ends)
        await history.record("n2", {}, {Key(at, "hello:a", Cause.COMPLETED): Ends(4, 4, 8.0)})
        expected = {
            "ended": {"completed": 7, "timed_out": 1, "crawler_lost": 2},
            "completed": 7,
            "failed": 1,
            "seconds": 2.0,
        }
        self.assertEqual(await self.recent("a"), expected)
        nothing = {"ended": {}, "completed": 0, "failed": 0, "seconds": None}
        self.assertEqual(await self.recent("b"), nothing)
        rows = (await self.get(CRAWLERS)).document["crawlers"]
        self.assertEqual([(row["version"], row["recent"]) for row in rows], [("v1", expected), ("v1", nothing)])

    async def test_old_counts(self) -> None:
        """They are deleted."""
        now = self.now()
        for ago in (3600, 8000):
            await History(self.database).record("n", {}, {Key(now - ago, "a", Cause.IDLE): Ends(1)})
        cleanup = Cleanup(self.database, self.clock, max_job_age=1e6, max_error_age=1e6, max_audit_age=1e6)
        self.assertEqual((await cleanup.run())["clean_crawler_ends"], 1)

    async def test_assignments(self) -> None:
        """What a crawler holds, longest first: always of one, on request of several."""
        await self.account()
        jobs = [await self.job(full_path=f"g/{number}") for number in range(3)]
        for number, job in enumerate(jobs):
            self.query(
                "INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, try, crawler_key,"
                " assigned_at, completed_at) VALUES (%s, %s, 'acme', 1, 'hello:a',"
                " '2026-01-05Z'::timestamptz - %s * interval '1 day', CASE WHEN %s THEN now() END)",
                job, f"{job}.1.x", number, number == 2,
            )  # fmt: skip
        self.query("UPDATE jobs SET progress = '{\"processed\": 7}' WHERE id = %s", jobs[0])
        self.query("UPDATE jobs SET progress = jsonb_build_object('x', repeat('x', 5000)) WHERE id = %s", jobs[1])
        first = {
            "job_id": jobs[1], "crawler_job_id": f"{jobs[1]}.1.x", "command": "issues", "full_path": "g/1",
            "account_id": "acme", "assigned_at": "2026-01-04T00:00:00Z", "started_at": None, "reported_at": None,
            "progress": None,
        }  # fmt: skip
        crawler = (await self.get(f"{CRAWLERS}/a")).document
        self.assertEqual(crawler["assignments"][0], first)
        self.assertEqual(
            [(each["job_id"], each["progress"]) for each in crawler["assignments"]],
            [(jobs[1], None), (jobs[0], {"processed": 7})],
        )
        [listed, other] = (await self.get(f"{CRAWLERS}?include=assignments")).document["crawlers"]
        self.assertEqual((listed["assignments"], other["assignments"]), (crawler["assignments"], []))
        self.assertNotIn("assignments", (await self.get(CRAWLERS)).document["crawlers"][0])
        self.assertEqual(self.paths(await self.get(f"{CRAWLERS}?include=jobs")), ["?include"])

    async def test_one(self) -> None:
        """By its id; of several with the same one, one that is connected."""
        self.query("UPDATE crawlers SET crawler_id = 'a', lease_expires_at = now() + '2 min' WHERE key = 'hello:b'")
        self.assertEqual((await self.get(f"{CRAWLERS}/a")).document["key"], "hello:b")
        for name in ("b", "nobody", "%00", "x" * 256):
            self.assertEqual((await self.get(f"{CRAWLERS}/{name}")).status, 404, name)


class PlanTests(DatabaseTestCase):
    """Reads of crawlers where there are many of them, and many jobs."""

    fill = (
        "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
        " VALUES ('a', 'gitlab-onprem', 'https://g', 'x')",
        "INSERT INTO crawlers (key, crawler_id, node_id, lease_expires_at, max_jobs, entity_types, plain)"
        " SELECT 'hello:' || n, n, 'n1', now() + '1 hour', 2, '{issue}', false FROM generate_series(1, 1000) n",
        "INSERT INTO crawler_ends SELECT 'hello:' || n, now() - s * interval '5 min', 'n1', 'completed', 5, 5, 9"
        " FROM generate_series(1, 1000) n, generate_series(1, 24) s",
        "INSERT INTO jobs (account_id, command, full_path, status, tries)"
        " SELECT 'a', 'issues', 'g/' || n, 'completed', 1 FROM generate_series(1, 20000) n",
        "INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, try, crawler_key, completed_at)"
        " SELECT id, id, 'a', 1, 'hello:' || n % 1000 + 1, CASE WHEN n > 2000 THEN now() END"
        " FROM (SELECT id, row_number() OVER () AS n FROM jobs) AS j",
        "ANALYZE",
    )

    async def test_crawlers(self) -> None:
        """Of a page only its own counts and assignments are read."""
        explained = ExplainedDatabase(self.database_url)
        self.addCleanup(explained.close)
        database = cast(Database, explained)
        crawlers = CrawlerLists(database, Lists(database))
        await crawlers.page(Page(20), {}, {"assignments"})
        read = explained.rows_read()
        self.assertLessEqual(read["crawler_ends"], 20 * 24)
        self.assertLessEqual(read["job_assignments"], 200)
        self.assertLessEqual(read["jobs"], 20 * 2)
        self.assertIsNotNone(await crawlers.one("7"))
        read = explained.rows_read()
        self.assertLessEqual(read["crawler_ends"], 24)
        self.assertLessEqual(read["jobs"], 2)
