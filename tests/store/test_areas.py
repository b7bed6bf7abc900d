"""Areas: identified by origin and path, and by a numeric id that stays when they move."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.folding import Verdict
from copilot_socket.core.reports import Completed, Discovered, Found
from copilot_socket.store import migrate
from copilot_socket.store.discoveries import Discoveries, _areas
from tests.support.acts import ACT
from tests.support.postgres import admin, drop_database, execute, fresh_database
from tests.support.revisions import upgrade_to
from tests.support.store import StoreTestCase, planned

HERE, OTHER = "http://gitlab.test", "http://other.test"


def project(path: str, number: int | None, name: str = "N") -> Found:
    """A mention of a project."""
    return Found("project", path, name, number)


class MentionTests(SynchronousTestCase):
    """Several mentions of an area in one discovery."""

    def test_the_last_is_true(self) -> None:
        """One area per path and per numeric id; groups and projects have separate ids."""
        group = Found("group", "g", "G", 1)
        for mentions, areas in (
            ([project("a", 1, "X"), project("a", 1)], [project("a", 1)]),
            ([project("a", 1), project("a", None)], [project("a", 1)]),
            ([project("a", 1), project("b", 1)], [project("a", None), project("b", 1)]),
            ([project("a", 1), project("a", 2), project("b", 1)], [project("a", 2), project("b", 1)]),
            ([project("a", 1), project("b", 1), project("a", 2)], [project("b", 1), project("a", 2)]),
            (
                [project("a", 1), project("b", 2), project("b", 1), project("a", 2)],
                [project("b", 1), project("a", 2)],
            ),
            ([group, project("a", 1)], [group, project("a", 1)]),
            ([project("g", 2), Found("group", "g", "G", None)], [Found("group", "g", "G", None)]),
            ([Found("user", "u", "U", 1)], []),
        ):
            self.assertCountEqual(_areas(mentions), areas, mentions)


class MoveTests(StoreTestCase):
    """The table ``areas`` after successive discoveries."""

    def setUp(self) -> None:
        super().setUp()
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token) VALUES"
            " ('second', 'gitlab-onprem', %s, 't'), ('elsewhere', 'gitlab-onprem', %s, 't')",
            f"{HERE}/",
            OTHER,
        )

    async def discover(self, account: str, *mentions: Found) -> None:
        """Store a discovery of *account*'s job."""
        self.query("INSERT INTO jobs (account_id, command) VALUES (%s, 'GROUP_PROJECT_DISCOVERY')", account)
        await self.present("c1")
        [assignment] = [job.assignment for job in (await self.batches.claim(planned("c1", account=account))).jobs]
        verdicts = await self.report(assignment, Discovered(mentions, {}), Completed({}))
        self.assertEqual(verdicts, [Verdict.STORED] * 2)

    def areas(self, gitlab: str = HERE) -> dict[str, int | None]:
        """Path → id of all areas at *gitlab*."""
        rows = self.query("SELECT full_path, gitlab_id FROM areas WHERE gitlab_origin = %s", gitlab)
        return dict(rows)  # type: ignore[arg-type]

    def seen_by(self, account: str) -> set[Any]:
        """The paths that *account* may see."""
        return {
            path for (path,) in self.query("SELECT full_path FROM area_authorizations WHERE account_id = %s", account)
        }

    async def test_two_gitlabs(self) -> None:
        """The same path or id at another GitLab is another area."""
        await self.discover("acct", project("acme/shop", 42), project("acme/web", 7))
        await self.discover("elsewhere", project("acme/shop", 7))
        self.assertEqual(self.areas(), {"acme/shop": 42, "acme/web": 7})
        self.assertEqual(self.areas(OTHER), {"acme/shop": 7})
        self.assertEqual(self.seen_by("elsewhere"), {"acme/shop"})
        await self.discover("second", project("acme/shop", None))
        self.assertEqual(self.areas()["acme/shop"], 42)

    async def test_a_group_and_a_project_of_one_number(self) -> None:
        """Groups and projects have separate ids."""
        await self.discover("acct", Found("group", "g", "G", 5), project("g/p", 5))
        self.assertEqual(self.areas(), {"g": 5, "g/p": 5})

    async def test_a_move(self) -> None:
        """The id moves to the new path; accounts that could see the old path still can."""
        await self.discover("second", project("old", 5))
        await self.discover("acct", project("new", 5))
        self.assertEqual(self.areas(), {"old": None, "new": 5})
        self.assertEqual((self.seen_by("acct"), self.seen_by("second")), ({"new"}, {"old"}))

    async def test_a_path_taken_again(self) -> None:
        """A new area at an old path has its own id."""
        await self.discover("acct", project("path", 5))
        await self.discover("acct", project("path", 6))
        self.assertEqual(self.areas(), {"path": 6})

    async def test_a_path_that_was_known_without_a_number(self) -> None:
        """A known area receives its id later, also from another path."""
        await self.discover("second", project("a", None), project("b", None), project("old", 6))
        await self.discover("acct", project("a", 5), project("b", 6))
        self.assertEqual(self.areas(), {"a": 5, "b": 6, "old": None})

    async def test_moves_that_cross(self) -> None:
        """Exchanged paths, and a chain of moves into paths that were just left."""
        await self.discover("acct", *(project(path, number) for number, path in enumerate("abcde")))
        await self.discover("acct", *(project(path, number) for number, path in enumerate("bacfd")))
        self.assertEqual(self.areas(), {"b": 0, "a": 1, "c": 2, "f": 3, "d": 4, "e": None})

    async def test_a_project_becomes_a_group(self) -> None:
        """The id of an area of another kind is not kept."""
        await self.discover("acct", project("x", 5))
        await self.discover("acct", Found("group", "x", "X", None))
        self.assertEqual(self.areas(), {"x": None})

    async def test_twice(self) -> None:
        """Unchanged rows are not written."""
        found = (Found("group", "g", "G", 1), project("g/p", 1), project("h", None))
        await self.discover("acct", *found)
        before = self.query("SELECT ctid::text, * FROM areas ORDER BY full_path")
        await self.discover("acct", *found)
        self.assertEqual(self.query("SELECT ctid::text, * FROM areas ORDER BY full_path"), before)

    async def test_two_nodes(self) -> None:
        """Where another node stores the area at another path at the same time, the later mention counts."""
        real = Discoveries._store
        times = list[int]()

        async def store(discoveries: Discoveries, tx: Any, part: Any) -> Any:
            stored = None
            if not times:  # between the two statements
                times.append(1)
                query, tx.hot_query = tx.hot_query, None

                async def hot_query(name: str, sql: str, params: Any) -> Any:
                    if name == "found_areas":
                        self.query(
                            "INSERT INTO areas (gitlab_origin, full_path, gitlab_id, name, type)"
                            " VALUES (%s, 'old', 5, 'N', 'project')",
                            HERE,
                        )
                    return await query(name, sql, params)

                tx.hot_query = hot_query
            stored = await real(discoveries, tx, part)
            times.append(2)
            return stored

        self.patch(Discoveries, "_store", store)
        await self.discover("acct", project("new", 5))
        self.assertEqual(self.areas(), {"old": None, "new": 5})
        self.assertEqual(times, [1, 2])


class MigrationTests(SynchronousTestCase):
    """The upgrade of areas that were stored by path alone."""

    def test_rows_of_before(self) -> None:
        """Each area is assigned to the GitLab of the accounts that may see it; an unambiguous id is kept."""
        url = fresh_database(migrated=False)
        self.addCleanup(drop_database, url)
        upgrade_to(url, "0009")
        execute(
            url,
            """
            INSERT INTO accounts (id, provider, gitlab_url, access_token)
              SELECT i, 'gitlab-onprem', u, 't' FROM (VALUES ('a', 'https://one/x'), ('b', 'https://one'),
                                                             ('c', 'https://two')) AS t (i, u);
            INSERT INTO areas (full_path, gitlab_id, name, type, created_at) VALUES
              ('both', 1, 'B', 'project', now()), ('one', 2, 'O', 'project', now()),
              ('nobody', 3, 'N', 'group', now()), ('new', 4, 'M', 'project', now()),
              ('old', 4, 'M', 'project', now() - interval '1 hour');
            INSERT INTO area_authorizations (account_id, full_path) VALUES
              ('a', 'both'), ('b', 'both'), ('c', 'both'), ('a', 'one'), ('b', 'one'), ('b', 'old'), ('b', 'new');
            """,
        )
        [notice] = migrate.upgrade(url, ACT).notices
        self.assertIn("areas: 1 row(s) deleted", notice)
        with admin(url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT gitlab_origin, full_path, gitlab_id, name, type FROM areas ORDER BY 1, 2")
            self.assertEqual(
                cursor.fetchall(),
                [
                    ("https://one", "both", None, "B", "project"),
                    ("https://one", "new", 4, "M", "project"),
                    ("https://one", "old", None, "M", "project"),
                    ("https://one", "one", 2, "O", "project"),
                    ("https://two", "both", None, "B", "project"),
                ],
            )
            cursor.execute("SELECT account_id, gitlab_origin, full_path FROM area_authorizations ORDER BY 1, 3")
            self.assertEqual(
                [(account, origin[8:], path) for account, origin, path in cursor.fetchall()],
                [
                    *(("a", "one", path) for path in ("both", "one")),
                    *(("b", "one", path) for path in ("both", "new", "old", "one")),
                    ("c", "two", "both"),
                ],
            )

    def test_one_gitlab(self) -> None:
        """With a single GitLab all areas are assigned to it."""
        url = fresh_database(migrated=False)
        self.addCleanup(drop_database, url)
        upgrade_to(url, "0009")
        execute(
            url,
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            " VALUES ('a', 'gitlab-cloud', 'https://one', 't');"
            "INSERT INTO areas (full_path, gitlab_id, name, type) VALUES ('nobody', 3, 'N', 'group')",
        )
        self.assertEqual(migrate.upgrade(url, ACT).notices, ())
        with admin(url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT gitlab_origin, full_path, gitlab_id FROM areas")
            self.assertEqual(cursor.fetchall(), [("https://one", "nobody", 3)])
