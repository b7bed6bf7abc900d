"""The counters of jobs: exact whatever changes the jobs, folded beside writers, compared and repaired."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from copilot_socket.core.jobs import Status
from copilot_socket.event_bus import CountsRepaired
from copilot_socket.store import counters, migrate
from copilot_socket.store.counters import Counters
from copilot_socket.store.counts import count_jobs, count_jobs_of
from copilot_socket.store.sql import ROUTES, sql
from tests.store.test_plans import nodes
from tests.support.acts import ACT
from tests.support.crawler import until
from tests.support.postgres import SynchronousDatabaseTestCase, admin, drop_database, execute, fresh_database
from tests.support.revisions import upgrade_to
from tests.support.store import COUNTERS_THAT_DIFFER, StoreTestCase

ACCOUNTS = (
    "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
    " SELECT a, 'gitlab-onprem', 'http://gitlab.test', 'token' FROM unnest('{a,b}'::text[]) AS a"
)
_STATUSES = st.sampled_from([str(status) for status in Status])
_NEW = st.sampled_from(["queued", "paused", "completed", "failed", "cancelled"])
_SOME = st.sampled_from(["true", "account_id = 'a'", "command = 'epics'", "status = 'queued'", "full_path > 'g/5'"])
_USER = st.sampled_from(["NULL", "'ann'", "'bob'"])


def _insert(account: str, command: str, user: str, status: str, jobs: int) -> str:
    return (
        "INSERT INTO jobs (account_id, command, full_path, user_id, status, scheduled_at)"
        f" SELECT '{account}', '{command}', 'g/' || n, {user}, '{status}', now() + (n % 3 - 1) * interval '1 hour'"
        f" FROM generate_series(1, {jobs}) AS n"
    )


_STATEMENTS = st.one_of(
    st.builds(_insert, st.sampled_from("ab"), st.sampled_from(["issues", "epics"]), _USER, _NEW, st.integers(0, 9)),
    st.builds("UPDATE jobs SET status = '{}' WHERE {}".format, _STATUSES, _SOME),
    st.builds("UPDATE jobs SET ready = NOT ready WHERE {}".format, _SOME),
    st.builds(
        "UPDATE jobs SET pause_id = {}, ready = false WHERE {}".format, st.sampled_from(["'p'", "NULL"]), _SOME
    ),
    st.builds("UPDATE jobs SET user_id = {} WHERE {}".format, _USER, _SOME),
    st.builds("UPDATE jobs SET account_id = 'b', command = 'users' WHERE {}".format, _SOME),
    st.builds("UPDATE jobs SET progress = '{{}}' WHERE {}".format, _SOME),
    st.just("UPDATE jobs j SET spawned_from = (SELECT min(id) FROM jobs) WHERE account_id = 'b'"),
    st.builds(
        "WITH a AS (UPDATE jobs SET status = 'running' WHERE status = 'queued'),"
        " b AS (DELETE FROM jobs WHERE status = 'failed'), c AS ({} RETURNING id)"
        " UPDATE jobs SET status = 'completed' WHERE status IN ('assigned', 'running')".format,
        st.builds(_insert, st.just("b"), st.just("commits"), _USER, _NEW, st.integers(0, 2)),
    ),
    st.just(
        "INSERT INTO jobs (id, account_id, command) SELECT id, account_id, command FROM jobs"
        " ON CONFLICT (id) DO UPDATE SET status = 'cancelled'"
    ),
    st.builds("DELETE FROM jobs WHERE {}".format, _SOME),
    st.just("TRUNCATE jobs"),
    st.just("SET session_replication_role = replica; UPDATE jobs SET status = 'paused'; RESET ALL"),
    st.builds(sql("fold_counts").replace("%(limit)s", "{}").format, st.sampled_from([1, 3, 1000])),
)
FEW = 10
"""Folds, and looks, that a test beside writers needs at least."""
_RUN = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


class ExactTests(SynchronousDatabaseTestCase):
    """Whatever SQL changes the jobs."""

    def setUp(self) -> None:
        """Two accounts, and a connection."""
        super().setUp()
        self.query(ACCOUNTS)
        opened = admin(self.database_url)
        self.connection = opened.__enter__()
        self.addCleanup(opened.__exit__, None, None, None)
        self.cursor = self.connection.cursor()

    def run_sql(self, statement: str) -> None:
        """Run it; what a unique index or a check refuses changes nothing."""
        try:
            self.cursor.execute(statement)
        except psycopg2.IntegrityError:
            if not self.connection.autocommit:
                self.cursor.execute("ROLLBACK TO SAVEPOINT before")

    def assert_exact(self, after: object) -> None:
        """The counters say what counting says."""
        self.cursor.execute(COUNTERS_THAT_DIFFER)
        self.assertEqual(self.cursor.fetchall(), [], after)

    @_RUN
    @given(st.lists(_STATEMENTS, max_size=12))
    def test_after_any_statements(self, statements: list[str]) -> None:
        """After each of any statements the counters are what counting says; in the end everything is folded away."""
        self.run_sql("DELETE FROM jobs")
        for statement in statements:
            self.run_sql(statement)
            self.assert_exact(statement)
        self.run_sql("DELETE FROM jobs")
        self.run_sql(sql("fold_counts") % {"limit": 100_000})
        self.cursor.execute("SELECT (SELECT count(*) FROM job_counts), (SELECT count(*) FROM job_count_deltas)")
        self.assertEqual(self.cursor.fetchall(), [(0, 0)])

    def test_in_transactions(self) -> None:
        """In a transaction its own changes count, and no longer once it is rolled back."""
        self.connection.autocommit = False
        self.run_sql(_insert("a", "issues", "NULL", "queued", 5))
        self.run_sql("SAVEPOINT before")
        self.run_sql("UPDATE jobs SET status = 'running'")
        self.assert_exact("a change")
        self.run_sql("ROLLBACK TO SAVEPOINT before")
        self.assert_exact("a partial rollback")
        self.connection.rollback()
        self.assert_exact("a rollback")
        self.assertEqual(self.query("SELECT count(*) FROM job_count_deltas"), [(0,)])

    def test_states(self) -> None:
        """A queued job counts by what it waits for; created ones are counted, whoever creates them."""
        self.run_sql(_insert("a", "issues", "'ann'", "queued", 3))
        self.run_sql("UPDATE jobs SET pause_id = 'p', ready = false WHERE full_path = 'g/1'")
        self.run_sql("UPDATE jobs SET status = 'running' WHERE full_path = 'g/3'")
        self.cursor.execute("SELECT * FROM job_totals ORDER BY state")
        self.assertEqual(
            self.cursor.fetchall(),
            [("a", "ann", "issues", state, 1) for state in ("path_paused", "running", "scheduled")],
        )
        self.run_sql(sql("fold_counts") % {"limit": 1000})
        self.cursor.execute("SELECT sum(created)::int FROM job_history WHERE resolution = 'minute' AND node_id = ''")
        self.assertEqual(self.cursor.fetchall(), [(3,)])


class MigrationTests(TestCase):
    """The migration that makes the counters."""

    async def test_it_counts_what_is_there(self) -> None:
        """All jobs of a former version are counted, also one that is just being inserted."""
        url = fresh_database(migrated=False)
        self.addCleanup(drop_database, url)
        upgrade_to(url, "0018")
        execute(url, ACCOUNTS)
        for user, status in (("NULL", "queued"), ("'ann'", "completed")):
            execute(url, _insert("a", "issues", user, status, 5))
        with admin(url) as connection, connection.cursor() as cursor:
            connection.autocommit = False
            cursor.execute(_insert("b", "issues", "NULL", "queued", 5))
            d = deferToThread(migrate.upgrade, url, ACT)
            with admin(url) as looking, looking.cursor() as look:

                def waits() -> object:
                    look.execute("SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'jobs'::regclass")
                    return look.fetchall()

                await until(waits, "it waits")
            connection.commit()
        await d
        with admin(url) as connection, connection.cursor() as cursor:
            cursor.execute(COUNTERS_THAT_DIFFER)
            self.assertEqual(cursor.fetchall(), [])
            cursor.execute("SELECT sum(jobs)::int FROM job_counts")
            self.assertEqual(cursor.fetchall(), [(15,)])


class ConcurrencyTests(SynchronousDatabaseTestCase):
    """Writers, folds and readers at the same time."""

    def test_folds_beside_writers(self) -> None:
        """Every snapshot is exact, and in the end all deltas are folded."""
        self.query(ACCOUNTS)
        wrong: list[object] = []
        writing = threading.Event()
        writing.set()

        def write(account: str) -> None:
            with admin(self.database_url) as connection, connection.cursor() as cursor:
                for number in range(40):
                    cursor.execute(
                        "INSERT INTO jobs (account_id, command, full_path) SELECT %s, 'issues', %s || n"
                        " FROM generate_series(1, 5) AS n",
                        (account, f"{number}/"),
                    )
                    for status in ("assigned", "running", "completed"):
                        cursor.execute(
                            "UPDATE jobs SET status = %s WHERE account_id = %s AND full_path LIKE %s",
                            (status, account, f"{number}/%"),
                        )
                    if number % 3 == 0:
                        cursor.execute("DELETE FROM jobs WHERE account_id = %s AND status = 'completed'", (account,))

        def fold() -> int:
            folded = 0
            with admin(self.database_url) as connection, connection.cursor() as cursor:
                connection.autocommit = False
                while writing.is_set() or folded < FEW:
                    cursor.execute(sql("fold_lock"))
                    [(ours,)] = cursor.fetchall()
                    if ours:
                        cursor.execute(sql("fold_counts"), {"limit": 7})
                        folded += 1
                    connection.commit()
            return folded

        def read() -> int:
            looks = 0
            with admin(self.database_url) as connection, connection.cursor() as cursor:
                connection.set_isolation_level(ISOLATION_LEVEL_REPEATABLE_READ)
                while writing.is_set() or looks < FEW:
                    cursor.execute(COUNTERS_THAT_DIFFER)
                    wrong.extend(cursor.fetchall())
                    looks += 1
                    connection.commit()
            return looks

        with ThreadPoolExecutor(5) as pool:
            writers = [pool.submit(write, account) for account in "ab"]
            folds, looks = [pool.submit(fold) for _ in range(2)], pool.submit(read)
            try:
                for each in writers:
                    each.result()
            finally:
                writing.clear()
            self.assertGreaterEqual(sum(each.result() for each in folds), FEW)
            self.assertGreaterEqual(looks.result(), FEW)
        self.assertEqual(wrong, [])
        self.query(sql("fold_counts") % {"limit": 100_000})
        self.assertEqual(self.query("SELECT count(*) FROM job_count_deltas"), [(0,)])
        self.assertEqual(
            self.query("SELECT account_id, jobs FROM job_counts ORDER BY 1, 2"),
            self.query("SELECT account_id, count(*) FROM jobs GROUP BY 1 ORDER BY 1"),
        )


class CountersTests(StoreTestCase):
    """Counters."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(counters, "PAUSE", 0)
        self.repaired: list[object] = []
        self.bus.subscribe(self.repaired.append, {CountsRepaired})
        self.counters = Counters(self.database, self.bus)

    async def test_bounded_folds(self) -> None:
        """A round takes several transactions, and no more than are allowed; one at a time folds."""
        self.patch(counters, "FOLDED", 2)
        self.patch(counters, "ROUNDS", 3)
        self.add_jobs(*[f"g/{number}" for number in range(9)])
        await self.counters.fold()
        self.assertEqual(self.query("SELECT count(*) FROM job_count_deltas"), [(3,)])
        with admin(self.database_url) as other, other.cursor() as cursor:
            other.autocommit = False
            cursor.execute(sql("fold_lock"))
            await self.counters.fold()
            self.assertEqual(self.query("SELECT count(*) FROM job_count_deltas"), [(3,)])
            other.rollback()
        await self.counters.fold()
        self.assertEqual(self.query("SELECT jobs FROM job_counts"), [(9,)])

    async def test_drift(self) -> None:
        """Counters that are wrong are found, logged, published and repaired, also while a writer is at work."""
        self.query(ACCOUNTS)
        await self.in_status(Status.COMPLETED, "done")
        self.add_jobs("g/1", "g/2")
        await self.counters.fold()
        self.assertEqual(await self.counters.check(), 0)
        self.query("UPDATE job_counts SET jobs = jobs + 5 WHERE state = 'queued'")
        self.query("DELETE FROM job_counts WHERE state = 'completed'")
        self.query("INSERT INTO job_counts VALUES ('gone', 'ann', 'issues', 'failed', 3)")
        self.query(
            "ALTER TABLE jobs DISABLE TRIGGER jobs_count_new;"
            "INSERT INTO jobs (account_id, command) VALUES ('b', 'users');"
            "ALTER TABLE jobs ENABLE ALWAYS TRIGGER jobs_count_new"
        )
        with admin(self.database_url) as other, other.cursor() as cursor:
            other.autocommit = False
            cursor.execute("UPDATE jobs SET status = 'cancelled'")
            self.assertEqual(await self.counters.check(), 4)
            other.commit()
        self.assert_counted()
        self.assertEqual(self.repaired, [CountsRepaired(2), CountsRepaired(1), CountsRepaired(1)])
        self.assertEqual(await self.counters.check(), 0)

    async def test_two_at_once(self) -> None:
        """Drift that two find is repaired once."""
        self.add_jobs("g/1")
        self.query("DELETE FROM job_count_deltas")
        with admin(self.database_url) as other, other.cursor() as cursor:
            other.autocommit = False
            cursor.execute(sql("check_lock"))
            cursor.execute(sql("check_counts"), {"account": "acct"})
            d = Deferred.fromCoroutine(self.counters.check())
            await until(lambda: self.query("SELECT pid FROM pg_locks WHERE NOT granted"), "it waits")
            other.commit()
            self.assertEqual(await d, 0)
        self.assert_counted()

    async def test_once_a_day(self) -> None:
        """One node a day compares."""
        self.add_jobs("g/1")
        await self.counters.check_daily()
        self.query("DELETE FROM job_count_deltas")
        await Counters(self.database, self.bus).check_daily()
        self.assertEqual(self.repaired, [])
        self.query("UPDATE job_count_checks SET checked_at = now() - interval '25 hours'")
        await self.counters.check_daily()
        self.assertEqual(self.repaired, [CountsRepaired(1)])

    async def test_an_account_that_can_t_be_counted(self) -> None:
        """It is logged, and the others are compared."""
        self.query(ACCOUNTS)
        self.query("INSERT INTO jobs (account_id, command) SELECT a, 'users' FROM unnest('{a,b}'::text[]) AS a")
        self.query("DELETE FROM job_count_deltas")
        self.query("ALTER TABLE job_count_deltas ADD CHECK (account_id <> 'a')")
        self.assertEqual(await self.counters.check(), 1)
        self.query("ALTER TABLE job_count_deltas DROP CONSTRAINT job_count_deltas_account_id_check")
        self.assertEqual(await self.counters.check(), 1)

    async def test_what_others_write(self) -> None:
        """Numbers that no counter holds are cut off, and repaired by the next comparison."""
        most = 10**12
        self.query(
            f"INSERT INTO job_count_deltas VALUES ('acct', '', 'issues', 'queued', {most}, {most}),"
            f" ('acct', '', 'issues', 'queued', {most}, {most}), ('acct', '', 'issues', 'failed', {-most}, {-most})"
        )
        await self.counters.fold()
        self.assertEqual(self.query("SELECT jobs FROM job_counts ORDER BY jobs"), [(-most,), (most,)])
        self.assertEqual(await self.counters.check(), 2)


class CountsTests(StoreTestCase):
    """What is read from the counters."""

    async def test_of_accounts_and_users(self) -> None:
        """Jobs are counted by account, by user, and by both."""
        self.query(ACCOUNTS)
        for account, user, jobs in (("a", "'ann'", 2), ("a", "NULL", 3), ("b", "'ann'", 4)):
            self.query(_insert(account, "issues", user, "completed", jobs))
        for accounts, users, count in (
            (None, None, 9),
            ({"a"}, None, 5),
            (None, {"ann"}, 6),
            ({"a", "b"}, {"ann"}, 6),
            ({"b"}, {"bob"}, 0),
            (set(), None, 0),
        ):
            counted = await count_jobs_of(self.database, accounts, users)
            self.assertEqual(set(counted), set(Status))
            self.assertEqual(counted[Status.COMPLETED], count, (accounts, users))

    async def test_the_age_of_the_queue(self) -> None:
        """It is that of a job near the head of its lane and priority, of the ten lowest ones, in open lanes."""
        self.query("UPDATE accounts SET credential_status = 'valid'")
        await self.present("c1")
        self.query(
            "INSERT INTO jobs (account_id, command, full_path, scheduled_at)"
            " SELECT 'acct', 'issues', 'g/' || n, now() - CASE WHEN n = 10 THEN 100 ELSE 1 END * interval '1 minute'"
            " FROM generate_series(1, 12) AS n"
        )
        self.assertApproximates((await count_jobs(self.database)).oldest, 6000, 60)
        self.query("UPDATE jobs SET scheduled_at = now() - interval '99 minutes' WHERE full_path IN ('g/10', 'g/11')")
        self.query("UPDATE jobs SET scheduled_at = now() - interval '1 minute' WHERE full_path = 'g/10'")
        self.assertApproximates((await count_jobs(self.database)).oldest, 60, 60)
        self.query("UPDATE jobs SET priority = 1 WHERE full_path = 'g/11'")
        self.assertApproximates((await count_jobs(self.database)).oldest, 5940, 60)
        self.query("UPDATE jobs SET priority = substr(full_path, 3)::int")
        self.assertApproximates((await count_jobs(self.database)).oldest, 60, 60)  # the eleventh priority
        self.query("UPDATE jobs SET priority = priority - 3 WHERE priority > 10")
        self.assertApproximates((await count_jobs(self.database)).oldest, 5940, 60)
        self.query("UPDATE jobs SET command = 'epics'")
        self.assertEqual((await count_jobs(self.database)).oldest, 0)


class PlanTests(StoreTestCase):
    """No statement reads the whole table of jobs."""

    def plans(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Name and nodes of the plan of each statement."""
        given = {
            **ROUTES,
            "accounts": ["a1"],
            "users": None,
            "account": "a1",
            "after": "",
            "limit": 1000,
            "statuses": list(Status),
        }
        names = ("count_jobs", "count_jobs_of", "fold_counts", "counted_accounts", "check_counts", "history_sample")
        with admin(self.database_url) as connection, connection.cursor() as cursor:
            for name in names:
                cursor.execute(f"EXPLAIN (FORMAT JSON) {sql(name)}", given)
                [([plan],)] = cursor.fetchall()
                yield name, list(nodes(plan["Plan"]))

    async def test_no_scans(self) -> None:
        """Whether the planner knows of many jobs or not, only heads of lanes and jobs of one account are read."""
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            " SELECT 'a' || n, 'gitlab-onprem', 'http://gitlab.test', 'token' FROM generate_series(1, 50) AS n"
        )
        self.query(
            "INSERT INTO jobs (account_id, command, full_path, status)"
            " SELECT 'a' || n % 50 + 1, 'issues', 'g/' || n, CASE WHEN n % 5 = 0 THEN 'queued' ELSE 'completed' END"
            " FROM generate_series(1, 20000) AS n"
        )
        for prepared in ("ANALYZE job_counts", "ANALYZE"):
            self.query(prepared)
            for name, plan in self.plans():
                read = [node for node in plan if node.get("Relation Name") == "jobs"]
                by_index = [node for node in read if "Index Cond" in node or node["Node Type"] == "Bitmap Heap Scan"]
                self.assertEqual(read, by_index, name)
                self.assertEqual(bool(read), name in ("count_jobs", "check_counts"), name)
