"""Lists and counts of jobs: every filter and order against a model, and the plans at scale."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import psycopg2
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from copilot_socket.core import cursor
from copilot_socket.core.access import Within
from copilot_socket.store import job_filters, listing, totals
from copilot_socket.store.database import Database
from copilot_socket.store.job_filters import CONDITIONS, JobFilter
from copilot_socket.store.job_lists import JobLists, Order
from copilot_socket.store.listing import Page, Record, TooSlow
from copilot_socket.store.totals import Total
from tests.support.postgres import DatabaseTestCase
from tests.support.store import StoreTestCase

START = datetime(2026, 1, 5, tzinfo=UTC)
STATES = ("queued", "running", "completed", "failed", "cancelled", "paused")
PATHS = (None, "a", "a/b", "a/b/c", "a-b", "a%", "A/b")
JOBS = 72


def time(hours: int) -> str:
    """A time of the jobs of this module."""
    return (START + timedelta(hours=hours)).isoformat()


class ModelTests(StoreTestCase):
    """Lists of a few jobs that differ in everything."""

    def setUp(self) -> None:
        """Have the jobs, and their rows as a client sees them."""
        super().setUp()
        self.lists = JobLists(self.database)
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token) "
            "SELECT 'a' || n, 'gitlab-onprem', 'http://gitlab.test', 'token' FROM generate_series(0, 2) n"
        )
        for number in range(JOBS):
            state, path = STATES[number % 6], PATHS[number % 7]
            ended = state in ("completed", "failed", "cancelled")
            self.query(
                "INSERT INTO jobs (account_id, command, full_path, branch, user_id, status, created_at, updated_at, "
                "started_at, finished_at, spawned_from, cause, error, tries) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, "
                "%s, %s, (SELECT id FROM jobs ORDER BY id LIMIT 1 OFFSET %s), %s, %s, 1)",
                f"a{number % 3}",
                "users" if path is None else ("issues", "commits")[number // 3 % 2],
                path,
                f"b{number}",
                (None, "ann", "bob")[number // 5 % 3],
                state,
                time(number // 2),
                time(100 - number),
                time(number) if number % 2 else None,
                time(number + 3) if ended else None,
                number % 4 if 8 < number < 60 else JOBS,
                "job_error" if state == "failed" else None,
                f"{number % 12:016x}" if state == "failed" else None,
            )
        columns = (
            "id, account_id, command, full_path, user_id, status, created_at, updated_at, started_at, finished_at"
        )
        names = [*columns.split(", "), "spawned_from", "cause", "error", "branch"]
        rows = self.query(f"SELECT {columns}, spawned_from, cause, error, branch FROM jobs ORDER BY id")
        self.jobs: list[Record] = [dict(zip(names, row, strict=True)) for row in rows]

    async def listed(self, which: JobFilter, order: Order, descending: bool, limit: int) -> list[str]:
        """The ids of all pages."""
        ids: list[str] = []
        page = Page(limit)
        while True:
            listing = await self.lists.page(page, which, order, descending=descending)
            ids += [row["id"] for row in listing.rows]
            if listing.next is None:
                return ids
            page = Page(limit, cursor.decode(listing.next))

    def expected(self, given: Mapping[str, Any], within: Within | None) -> list[Record]:
        """The jobs that the model finds."""
        return [job for job in self.jobs if all(self.meets(job, *each) for each in given.items())
                and (within is None or within.covers_job(job["account_id"], job["user_id"]))]  # fmt: skip

    def meets(self, job: Record, name: str, value: Any) -> bool:
        """One condition."""
        path = job["full_path"] or ""
        match name.rpartition("_"):
            case (column, "_", "after"):
                return job[f"{column}_at"] is not None and job[f"{column}_at"] >= datetime.fromisoformat(value)
            case (column, "_", "before"):
                return job[f"{column}_at"] is not None and job[f"{column}_at"] < datetime.fromisoformat(value)
        match name:
            case "status" | "command":
                return job[name] in value
            case "ids":
                return job["id"] in value
            case "cause":
                return (job["cause"] or (job["status"] if job["status"] == "completed" else None)) in value
            case "path_prefix":
                return path == value or path.startswith(f"{value}/")
            case "root":
                return job["id"] == value or (job["spawned_from"] is not None and self.below(job, value))
            case "spawned":
                return (job["spawned_from"] is not None) is value
            case "started" | "finished":
                return (job[f"{name}_at"] is not None) is value
            case "search":
                return any(value.lower() in (job[each] or "").lower() for each in ("full_path", "branch", "id"))
        return bool(job[name] == value)

    def below(self, job: Record, root: str) -> bool:
        """Whether *job* descends from *root*."""
        parents = {each["id"]: each["spawned_from"] for each in self.jobs}
        parent = job["spawned_from"]
        while parent is not None and parent != root:
            parent = parents[parent]
        return parent is not None

    def filters(self) -> Any:
        """Any filter."""
        ids = [job["id"] for job in self.jobs]
        times = st.integers(0, 110).map(time)
        one: dict[str, Any] = {
            "ids": st.lists(st.sampled_from(ids), min_size=1, max_size=9),
            "status": st.lists(st.sampled_from(STATES), min_size=1, unique=True),
            "command": st.lists(st.sampled_from(["issues", "commits", "epics"]), min_size=1, unique=True),
            "cause": st.lists(st.sampled_from(["job_error", "completed"]), min_size=1, unique=True),
            "account_id": st.sampled_from(["a0", "a1", "none"]),
            "user_id": st.sampled_from(["ann", "none"]),
            "error": st.sampled_from([f"{3:016x}", f"{9:016x}", "f" * 16]),
            "full_path": st.sampled_from([path for path in PATHS if path]),
            "path_prefix": st.sampled_from(["a", "a/b", "A"]),
            "spawned_from": st.sampled_from(ids[:5]),
            "root": st.sampled_from(ids[:9]),
            "search": st.sampled_from(["A/B", "%", "b1", "_"]),
            **dict.fromkeys(("spawned", "started", "finished"), st.booleans()),
            **{name: times for name in CONDITIONS if name.endswith(("_after", "_before"))},
        }
        self.assertEqual(one.keys(), CONDITIONS.keys())
        return st.sets(st.sampled_from(sorted(one)), max_size=4).flatmap(
            lambda names: st.fixed_dictionaries({name: one[name] for name in names})
        )

    async def test_any_filter_and_order(self) -> None:
        """Pages hold what the model finds, in its order, and totals count it."""
        cases: list[Any] = []
        withins = st.one_of(
            st.none(),
            st.builds(
                Within,
                accounts=st.one_of(st.none(), st.sets(st.sampled_from(["a1", "a2"]), min_size=1).map(frozenset)),
                users=st.one_of(st.none(), st.just(frozenset({"ann", "bob"}))),
            ),
        )
        orders = st.sampled_from(Order)

        @given(self.filters(), withins, orders, st.booleans(), st.sampled_from([1, 5, 100]))
        def collect(found: Any, within: Any, order: Any, descending: Any, limit: Any) -> None:
            cases.append((found, within, order, descending, limit))

        collect()
        for found, within, order, descending, limit in cases:
            which = JobFilter(found, within)
            jobs = self.expected(found, within)
            with_value = [job for job in jobs if job[str(order)] is not None]
            with_value.sort(key=lambda job: ((job[str(order)], job["id"])), reverse=descending)
            where = f"{found} {within} {order} {descending} {limit}"
            ids = await self.listed(which, order, descending, limit)
            self.assertEqual(ids, [job["id"] for job in with_value], where)
            total = await self.lists.total(which)
            self.assertEqual((total.count, total.exact), (len(jobs), True), where)
            below = await self.lists.below(which, "8", 7)
            self.assertEqual(list(below.items()), [(job["id"], job["status"]) for job in reversed(jobs)][:7], where)

    async def test_totals(self) -> None:
        """Over the bound, a total is an estimate, no less than what was counted; of enumerated jobs it is exact."""
        self.patch(totals, "COUNTED", 10)
        self.query("ANALYZE jobs")
        self.assertEqual(await self.lists.total(JobFilter()), Total(JOBS, False, {}))
        parent = self.jobs[0]["id"]
        children = sum(job["spawned_from"] == parent for job in self.jobs)
        self.assertGreater(children, 10)
        total = await self.lists.total(JobFilter({"spawned_from": parent}))
        self.assertEqual((total.count, total.exact, sum(total.states.values())), (children, True, children))
        few = await self.lists.total(JobFilter({"account_id": "a0", "status": ["failed"], "user_id": "ann"}))
        self.assertEqual((few.exact, few.states), (True, {"failed": few.count}))

    async def test_children(self) -> None:
        """On request, each job says how many it has spawned."""
        listing = await self.lists.page(Page(), JobFilter(), include={"children"})
        for row in listing.rows:
            self.assertEqual(row["children"], sum(job["spawned_from"] == row["id"] for job in self.jobs))
        self.assertNotIn("children", (await self.lists.page(Page(), JobFilter())).rows[0])

    async def test_too_slow(self) -> None:
        """A filter that takes too long is given up by the database, and the connection lives."""
        self.patch(job_filters, "CONDITIONS", {"slow": "pg_sleep(5) IS NOT NULL"})
        soon = self.patch(listing, "PATIENCE", 0.05)
        await self.assertFailure(Deferred.fromCoroutine(self.lists.page(Page(), JobFilter({"slow": 1}))), TooSlow)
        await self.assertFailure(Deferred.fromCoroutine(self.lists.total(JobFilter({"slow": 1}))), TooSlow)
        soon.restore()
        self.assertEqual(len((await self.lists.page(Page(), JobFilter())).rows), JOBS)


SCALE = 60_000
MOST_READ = 6000
FAST: dict[str, tuple[dict[str, Any], Order]] = {
    "everything": ({}, Order.CREATED),
    "everything by update": ({}, Order.UPDATED),
    "everything by end": ({}, Order.FINISHED),
    "everything by path": ({}, Order.PATH),
    "rare and old states": ({"status": ["failed", "cancelled"]}, Order.CREATED),
    "states by update": ({"status": ["failed"]}, Order.UPDATED),
    "large account": ({"account_id": "a0"}, Order.CREATED),
    "small account": ({"account_id": "a1"}, Order.CREATED),
    "failed of an account": ({"account_id": "a0", "status": ["failed"]}, Order.CREATED),
    "user": ({"user_id": "u7"}, Order.CREATED),
    "failed of a user": ({"user_id": "u7", "status": ["failed"]}, Order.CREATED),
    "error": ({"error": f"{7:016x}"}, Order.CREATED),
    "path": ({"full_path": "g7/p7"}, Order.CREATED),
    "path prefix": ({"path_prefix": "g7"}, Order.PATH),
    "children": ({"spawned_from": "PARENT"}, Order.CREATED),
    "tree": ({"root": "PARENT"}, Order.CREATED),
    "created": ({"created_after": time(100), "created_before": time(101)}, Order.CREATED),
    "created before": ({"created_before": time(100)}, Order.CREATED),
    "finished": ({"finished_after": time(100), "finished_before": time(101)}, Order.FINISHED),
    "finished before": ({"finished_before": time(100)}, Order.FINISHED),
}
"""The filters that docs/http.md promises to be fast at any size."""


class PlanTests(DatabaseTestCase):
    """Lists of many jobs: how many rows are read for a page."""

    async def test_few_rows_are_read(self) -> None:
        """Of each fast filter."""
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token) "
            "SELECT 'a' || n, 'gitlab-onprem', 'http://gitlab.test', 'token' FROM generate_series(0, 99) n"
        )
        self.query(
            "INSERT INTO jobs (account_id, user_id, command, full_path, status, created_at, updated_at, finished_at, "
            "tries, error) SELECT CASE WHEN n % 3 = 0 THEN 'a0' ELSE 'a' || n % 100 END, 'u' || n % 97, 'issues',"
            " 'g' || n % 101 || '/p' || n % 103,"
            " CASE WHEN n < 1000 THEN 'failed' WHEN n < 1010 THEN 'cancelled' ELSE 'completed' END, t, t, t, 1,"
            " CASE WHEN n < 1000 THEN lpad((n % 10)::text, 16, '0') END"
            f" FROM (SELECT n, timestamptz '{time(0)}' + n * interval '1 minute' AS t"
            f"       FROM generate_series(0, {SCALE} - 1) n) AS s ORDER BY n"
        )
        [(parent,)] = self.query("SELECT min(id) FROM jobs")
        self.query(f"UPDATE jobs SET spawned_from = '{parent}' WHERE full_path IN ('g1/p1', 'g2/p2')")
        self.query("ANALYZE jobs")
        connection = psycopg2.connect(self.database_url)
        self.addCleanup(connection.close)
        cursor = connection.cursor()
        for name, (named, order) in FAST.items():
            found = {each: parent if value == "PARENT" else value for each, value in named.items()}
            lists = _Explained(cursor)
            await lists.page(Page(100), JobFilter(found), order)
            self.assertLess(sum(map(rows_read, lists.plan_nodes())), MOST_READ, name)


class _Explained(JobLists):
    """Lists that are explained, and run, on a database of their own."""

    def __init__(self, cursor: Any) -> None:
        super().__init__(cast(Database, self))
        self.cursor = cursor
        self.plans: list[Any] = []

    async def transaction(self, work: Any) -> Any:
        """In the place of the database's."""
        return await work(self)

    async def query(self, statement: str, parameters: Any = None) -> list[Any]:
        """In the place of the transaction's."""
        if "set_config" not in statement:
            self.cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}", parameters)
            [([plan],)] = self.cursor.fetchall()
            self.plans.append(plan["Plan"])
        return []

    def plan_nodes(self) -> Iterator[dict[str, Any]]:
        """All nodes of all plans."""
        below = list(self.plans)
        while below:
            node = below.pop()
            yield node
            below += node.get("Plans", ())


def rows_read(node: dict[str, Any]) -> int:
    """The rows of ``jobs`` that a scan has read."""
    if node.get("Relation Name") != "jobs" or "Scan" not in node["Node Type"]:
        return 0
    rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int(rows * node["Actual Loops"])
