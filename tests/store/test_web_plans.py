"""How many rows are read for what a web application asks of areas, accounts and users, where there are many."""

from typing import Any, cast

from copilot_socket.core.actors import Actor
from copilot_socket.core.acts import HTTP, Act
from copilot_socket.store import totals
from copilot_socket.store.area_lists import AreaLists, AreaOrder
from copilot_socket.store.database import Database
from copilot_socket.store.listing import Lists, Page
from copilot_socket.store.rediscovery import rediscover
from copilot_socket.store.submission import Submission
from copilot_socket.store.user_crawls import UserCrawls
from tests.support.explained import ExplainedDatabase
from tests.support.postgres import DatabaseTestCase

AREAS = 20_000
MOST_READ = 1500
"""Rows of a table; a page has 100, and a total is counted up to 100."""
FILL = (
    "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
    " SELECT 'a' || n, 'gitlab-onprem', 'https://g' || n % 2, 'x' FROM generate_series(0, 99) n",
    "INSERT INTO areas (gitlab_origin, full_path, name, type, created_at)"
    " SELECT 'https://g' || n % 2, 'g' || n % 101 || '/p' || n, 'n', CASE n % 100 WHEN 0 THEN 'group' ELSE"
    f" 'project' END, now() - ({AREAS} - n) * interval '1 minute' FROM generate_series(1, {AREAS}) n",
    "INSERT INTO area_authorizations (account_id, gitlab_origin, full_path)"
    " SELECT 'a' || right(gitlab_origin, 1), gitlab_origin, full_path FROM areas"
    " UNION ALL"
    " (SELECT 'a2', gitlab_origin, full_path FROM areas WHERE gitlab_origin = 'https://g0' LIMIT 50)",
    "INSERT INTO jobs (account_id, command, full_path, status, finished_at, user_id, gitlab_url, provider,"
    " tries)"
    " SELECT 'a' || right(gitlab_origin, 1), command, full_path, 'completed', created_at, 'u' || n % 50,"
    " gitlab_origin, 'gitlab-onprem', 1 FROM (SELECT *, row_number() OVER () AS n FROM areas) AS a,"
    " unnest('{issues,commits}'::text[]) AS command WHERE n % 10 = 0",
    "INSERT INTO jobs (account_id, command, status, finished_at, gitlab_url, provider, tries)"
    " SELECT 'a' || n % 100, 'GROUP_PROJECT_DISCOVERY', 'completed', now() - n * interval '1 minute',"
    " 'https://g' || n % 2, 'gitlab-onprem', 1 FROM generate_series(1, 1000) n",
    "ANALYZE",
)
"""100 accounts, many areas, two jobs for each tenth of these, and many discoveries."""


class PlanTests(DatabaseTestCase):
    """Reads of large tables."""

    fill = FILL

    def setUp(self) -> None:
        super().setUp()
        self.explained = ExplainedDatabase(self.database_url)
        self.addCleanup(self.explained.close)
        self.database = cast(Database, self.explained)
        self.patch(totals, "COUNTED", 100)

    def read_few(self, what: object, most: int = MOST_READ) -> None:
        """Since the last call no table was read beyond *most* rows; some was."""
        read = self.explained.rows_read()
        self.assertTrue(read, what)
        self.assertLess(max(read.values()), most, f"{what}: {read}")

    async def test_areas(self) -> None:
        """By path, by age, below a path, and of an account with few or many; with what is known of their jobs."""
        areas = AreaLists(self.database, Lists(self.database))
        cases: tuple[tuple[dict[str, Any], AreaOrder], ...] = (
            ({}, AreaOrder.PATH),
            ({}, AreaOrder.CREATED),
            ({"type": "project"}, AreaOrder.CREATED),
            ({"gitlab_origin": "https://g1"}, AreaOrder.PATH),
            ({"path_prefix": "g7"}, AreaOrder.PATH),
            ({"path_prefix": "g7"}, AreaOrder.CREATED),
            ({"path_prefix": "nowhere"}, AreaOrder.PATH),
            ({"account_id": "a0"}, AreaOrder.PATH),
            ({"account_id": "a0"}, AreaOrder.CREATED),
            ({"account_id": "a2"}, AreaOrder.PATH),
            ({"account_id": "none"}, AreaOrder.CREATED),
        )
        for filters, order in cases:
            for descending in (False, True):
                page = Page(100, total=True)
                await areas.page(page, filters, order, descending=descending, include={"counts", "commands"})
                self.read_few((filters, order, descending))

    async def test_an_area(self) -> None:
        """Of one area only its jobs and accounts are read."""
        areas = AreaLists(self.database, Lists(self.database))
        area = await areas.one("https://g0", f"g{10 % 101}/p10")
        assert area is not None
        self.assertEqual(set(area["jobs_by_command"]), {"issues", "commits"})
        self.read_few("area", 101)  # all accounts, which are few

    async def test_discoveries(self) -> None:
        """The last one of an account, whichever way it ended."""

        async def next_slice() -> None:
            """No need to wait."""

        submission = Submission(self.database, 3, next_slice)
        act = Act(HTTP, Actor("token:x"), "job.submit")
        for account, hours in (("a0", 1000), ("a0", 0), ("a1", 0.001)):
            self.assertIsNotNone(await rediscover(submission, account, hours, act))
            self.assertLess(self.explained.rows_read()["jobs"], 50)

    async def test_the_last_discovery(self) -> None:
        """It is looked up account by account; by state they are counted in their own index."""
        await AreaLists(self.database, Lists(self.database)).stats()
        self.assertLessEqual(self.explained.rows_read()["jobs"], 1000 + 200)

    async def test_users(self) -> None:
        """Of a user only their jobs are read."""
        await UserCrawls(self.database).show("u10")
        self.read_few("user", 2000)
