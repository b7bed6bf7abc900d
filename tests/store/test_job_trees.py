"""Trees of jobs are deleted as a whole or not at all."""

import random
from collections.abc import Callable
from typing import Any

import psycopg2
from twisted.internet import reactor

from copilot_socket.store import job_trees
from copilot_socket.store.job_trees import JobTrees
from copilot_socket.store.sql import sql
from tests.support.postgres import admin
from tests.support.store import StoreTestCase

AGE = 3600.0
OLD, RECENT = "2 hours", "10 minutes"


class Watched(JobTrees):
    """JobTrees that records its statements, and calls *before* each deletion."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked: list[str] = []
        self.before: Callable[[], object] = lambda: None

    async def _query(self, name: str, *args: Any, **parameters: object) -> Any:
        self.asked.append(name)
        if name == "clean_jobs":
            self.before()
        return await super()._query(name, *args, **parameters)


class TreeTestCase(StoreTestCase):
    """Jobs by their paths."""

    def setUp(self) -> None:
        super().setUp()
        self.trees = Watched(self.database, reactor, 0.0)

    def add(self, path: str, parent: str | None = None, status: str = "completed", age: str = OLD) -> str:
        """Insert a job that has been in *status* for *age*, spawned by the one at *parent*; return its path."""
        self.query(
            "INSERT INTO jobs (account_id, command, full_path, status, updated_at, spawned_from)"
            " SELECT 'acct', 'issues', %s, %s, now() - %s::interval, (SELECT id FROM jobs WHERE full_path = %s)",
            path, status, age, parent,
        )  # fmt: skip
        return path

    def left(self) -> set[Any]:
        """The paths of the remaining jobs."""
        return {path for (path,) in self.query("SELECT full_path FROM jobs")}

    def make_small(self) -> None:
        """Lower the limits, so that few jobs count as many."""
        for name, number in (("SMALL", 3), ("READ", 5)):
            self.patch(job_trees, name, number)


class WholeTreeTests(TreeTestCase):
    """Which trees are deleted."""

    async def test_what_keeps_a_tree(self) -> None:
        """One job of a tree that is unfinished or recent keeps all others."""
        for number, (status, age) in enumerate((("queued", OLD), ("paused", OLD), ("failed", RECENT))):
            for place in ("root", "middle", "leaf"):
                name = f"{number}-{place}"
                state = {place: (status, age)}
                old = ("completed", OLD)
                self.add(f"{name}/root", None, *state.get("root", old))
                self.add(f"{name}/middle", f"{name}/root", *state.get("middle", old))
                self.add(f"{name}/beside", f"{name}/root")
                self.add(f"{name}/leaf", f"{name}/middle", *state.get("leaf", old))
        before = self.left()
        self.assertEqual((await self.trees.clean(AGE), self.left()), (0, before))

    async def test_a_whole_tree(self) -> None:
        """Once all jobs of a tree are old, they are deleted together, with assignments and attempts."""
        self.add("root")
        self.add("failed", "root", "failed")
        self.add("leaf", "failed", "cancelled", RECENT)
        self.add("another")
        self.assertEqual((await self.trees.clean(AGE), self.left()), (1, {"root", "failed", "leaf"}))
        self.query("UPDATE jobs SET updated_at = now() - interval '2 hours'")
        self.assertEqual((await self.trees.clean(AGE), self.left()), (3, set()))

    async def test_any_forest(self) -> None:
        """Of random forests exactly the finished, old trees are deleted, small and large."""
        self.make_small()
        for seed in range(6):
            chance = random.Random(seed)
            self.query("DELETE FROM jobs")
            root_of: dict[str, str] = {}
            kept: set[str] = set()
            for number in range(60):
                path = f"{seed}-{number}"
                grows = bool(root_of) and chance.random() < 0.85
                parent = chance.choice(list(root_of)[-20:]) if grows else None
                lives = chance.random() < 0.03
                self.add(path, parent, "queued" if lives else "completed")
                root_of[path] = root_of[parent] if parent else path
                if lives:
                    kept.add(root_of[path])
            expected = {path for path, root in root_of.items() if root in kept}
            self.assertEqual(await self.trees.clean(AGE), 60 - len(expected), f"seed {seed}")
            self.assertEqual(self.left(), expected, f"seed {seed}")

    async def test_trees_that_stay(self) -> None:
        """Many remaining trees before a deleted one are each read once."""
        self.make_small()
        for number in range(7):
            self.add(f"{number}")
            self.add(f"{number}/live", f"{number}", "queued")
        self.add("last")
        self.assertEqual(await self.trees.clean(AGE), 1)
        self.assertNotIn("last", self.left())
        # Fifteen jobs, five a statement, and one more that finds none; and hardly more to read their trees.
        self.assertEqual(self.trees.asked.count("old_roots"), 4)
        self.assertLessEqual(self.trees.asked.count("old_trees"), 8)


class MeanwhileTests(TreeTestCase):
    """Concurrent changes."""

    async def test_locked(self) -> None:
        """A tree with a locked job stays whole; others are deleted, without waiting."""
        for name in ("a", "b"):
            self.add(name)
            self.add(f"{name}/child", name)
        with admin(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN; SELECT FROM jobs WHERE full_path = 'a/child' FOR UPDATE")
            self.assertEqual((await self.trees.clean(AGE), self.left()), (2, {"a", "a/child"}))
            cursor.execute("ROLLBACK")
        self.assertEqual(await self.trees.clean(AGE), 2)

    async def test_retried_while_it_is_read(self) -> None:
        """A small tree stays whole if a job is retried after the tree was read."""
        self.add("root", status="failed")
        self.add("child", "root")
        self.trees.before = lambda: self.query(
            "UPDATE jobs SET status = 'queued', updated_at = now() WHERE full_path = 'root'"
        )
        self.assertEqual((await self.trees.clean(AGE), self.left()), (0, {"root", "child"}))

    async def test_retried_while_it_goes(self) -> None:
        """No more of a large tree is deleted once its root or a parent of the next part is retried."""
        self.make_small()
        for retried in ("root", "parent"):
            self.query("DELETE FROM jobs")
            self.add("root", status="failed")
            self.add("parent", "root", "failed")
            for number in range(8):
                self.add(f"child-{number}", "parent")
            rounds = iter(range(100))

            def retry(retried: str = retried, rounds: Any = rounds) -> None:
                if next(rounds) == 1:
                    self.query("UPDATE jobs SET status = 'queued', updated_at = now() WHERE full_path = %s", retried)

            self.trees.before = retry
            self.assertEqual(await self.trees.clean(AGE), 3, retried)
            self.assertLess({"root", "parent"}, self.left(), retried)

    async def test_interrupted(self) -> None:
        """The rest of a large tree after an interruption is a tree, which the next round deletes."""
        self.make_small()
        self.add("root")
        for number in range(4):
            self.add(f"{number}", "root")
            for leaf in range(4):
                self.add(f"{number}/{leaf}", f"{number}")
        rounds = iter(range(100))

        def fail() -> None:
            if next(rounds) == 3:
                raise psycopg2.OperationalError("gone")

        self.trees.before = fail
        with self.assertRaises(psycopg2.OperationalError):
            await self.trees.clean(AGE)
        [(count, roots)] = self.query(
            "SELECT count(*)::int, count(*) FILTER (WHERE spawned_from IS NULL)::int FROM jobs"
        )
        self.assertEqual((count, roots), (13, 1))
        self.trees.before = lambda: None
        self.assertEqual((await self.trees.clean(AGE), self.left()), (13, set()))

    async def test_too_large_to_be_read(self) -> None:
        """A tree that can't be read completely in time stays; others are deleted."""
        self.make_small()
        self.add("root")
        for number in range(8):
            self.add(f"{number}", "root")
        self.add("another")
        self.trees._longest_read = 0.0
        self.assertEqual((await self.trees.clean(AGE), len(self.left())), (1, 9))


class PlanTests(TreeTestCase):
    """Plans on tables where one parent has nearly all jobs."""

    def plan(self, name: str, **parameters: object) -> str:
        """The plan of a statement."""
        [(until,)] = self.query("SELECT now() - interval '1 hour'")
        with admin(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {sql(name)}", {"until": until, **parameters})
            return "\n".join(str(row[0]) for row in cursor.fetchall())

    async def test_by_index(self) -> None:
        """Roots and children are looked up in indexes, whatever the statistics."""
        self.query("ANALYZE jobs")
        self.add("root")
        self.query(
            "INSERT INTO jobs (account_id, command, full_path, status, updated_at, spawned_from)"
            " SELECT 'acct', 'issues', 'g/' || n, 'completed', now() - interval '1 day', (SELECT id FROM jobs)"
            " FROM generate_series(1, 20000) n ORDER BY random()"
        )
        [(root,)] = self.query("SELECT id FROM jobs WHERE full_path = 'root'")
        for when in ("when it was empty", "now"):
            self.assertIn("jobs_pkey", self.plan("old_roots", after=root, limit=100), when)
            for plan in (
                self.plan("old_trees", roots=[root], most=1001, limit=5000),
                self.plan("open_tree", root=root),
                self.plan("children", parents=[root], limit=5000),
            ):
                self.assertIn("idx_jobs_spawned", plan, when)
                self.assertNotIn("Seq Scan", plan, when)
            self.query("VACUUM ANALYZE jobs")
