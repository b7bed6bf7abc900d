"""The tables in any schema, beside other programs' tables, written to by sessions with any search_path."""

import subprocess
import uuid
from pathlib import Path

import psycopg2
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.store import migrate
from copilot_socket.store.embedded.binaries import packaged_programs
from copilot_socket.store.migrate import SchemaError, Standing
from copilot_socket.store.sql import sql
from tests.support.acts import ACT
from tests.support.postgres import (
    admin,
    copy_of,
    drop_database,
    execute,
    fresh_database,
    server_url,
    with_search_path,
)
from tests.support.store import COUNTERS_THAT_DIFFER

JOB = (
    "INSERT INTO crawling.jobs (account_id, command, full_path) VALUES ('acct', 'issues', 'g/p') RETURNING gitlab_url"
)
URL = "https://gitlab.test"


def _in_two_schemas(public: str) -> None:
    execute(
        public,
        "CREATE SCHEMA crawling;"
        "CREATE TABLE public.accounts (id text, provider text, gitlab_url text, secret text);"
        "INSERT INTO public.accounts VALUES ('acct', 'gitlab-cloud', 'https://elsewhere.test', 'x')",
    )
    url = with_search_path(public, "crawling")
    migrate.upgrade(url, ACT)
    execute(
        url,
        "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
        f" VALUES ('acct', 'gitlab-onprem', '{URL}', 'token')",
    )


class _SchemaTestCase(SynchronousTestCase):
    """Our tables are in the schema `crawling`; in `public` another program has an account of the same id."""

    def setUp(self) -> None:
        """Create both schemas."""
        self.public = copy_of(_in_two_schemas)
        self.addCleanup(drop_database, self.public)
        self.url = with_search_path(self.public, "crawling")

    def query(self, statement: str, url: str | None = None) -> list[tuple[object, ...]]:
        """The rows of *statement* in a session with the default search_path."""
        with admin(url or self.public) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


class InsertTests(_SchemaTestCase):
    """Jobs that other programs insert."""

    def test_from_anywhere(self) -> None:
        """A new job is complete, with the values of our account, whatever search_path its program has."""
        for setting in (
            "SET search_path = public",
            "SET search_path = ''",
            "SET search_path = nowhere, pg_temp",
            "CREATE TEMPORARY TABLE accounts AS TABLE public.accounts",
        ):
            with self.subTest(setting):
                self.assertEqual(self.query(f"{setting}; DELETE FROM crawling.jobs; {JOB}"), [(URL,)])

    def test_default_without_a_path(self) -> None:
        """Ids need no search_path either, also where only the id is missing."""
        complete = JOB.replace("full_path)", "full_path, provider, gitlab_url)").replace(
            "'g/p')", f"'g/p', 'gitlab-cloud', '{URL}/own')"
        )
        self.assertEqual(self.query(f"SET search_path = ''; {complete}"), [(f"{URL}/own",)])

    def test_ids_without_a_path(self) -> None:
        """Ids ascend in the order in which they are made."""
        rows = self.query("SET search_path = ''; SELECT crawling.copilot_ulid() FROM generate_series(1, 100)")
        self.assertEqual(rows, sorted(set(rows)))

    def test_renamed(self) -> None:
        """A schema may be renamed, and the tables may move."""
        self.query("ALTER SCHEMA crawling RENAME TO other")
        self.assertEqual(self.query(JOB.replace("crawling.", "other.")), [(URL,)])
        self.query("DELETE FROM other.jobs")

    def test_paused_paths(self) -> None:
        """New jobs under a paused path are marked, wherever the tables are."""
        self.query("INSERT INTO crawling.pauses (scope, target, author) VALUES ('path_prefix', 'g', 'x')")
        for schema in ("crawling", "other"):
            if schema == "other":
                self.query("ALTER SCHEMA crawling RENAME TO other; DELETE FROM other.jobs")
            self.query(f"SET search_path = public; {JOB.replace('crawling.', f'{schema}.')}")
            marked = f"SELECT ready FROM {schema}.jobs j JOIN {schema}.pauses p ON p.id = j.pause_id"
            self.assertEqual(self.query(marked), [(False,)])

    def test_counters(self) -> None:
        """Jobs are counted, wherever the tables are and whatever search_path a session has."""
        count = "SELECT sum(jobs)::int, count(*)::int FROM {0}.job_totals WHERE state = 'failed'"
        for schema in ("crawling", "other"):
            if schema == "other":
                self.query("ALTER SCHEMA crawling RENAME TO other")
            for number, setting in enumerate(
                (
                    "SET search_path = public",
                    "SET search_path = ''",
                    f"SET search_path = {schema}; CREATE TEMPORARY TABLE job_count_deltas (x int)",
                ),
                1,
            ):
                with self.subTest(schema=schema, setting=setting):
                    new = JOB.replace("crawling.", f"{schema}.").replace("g/p", f"g/{number}")
                    self.query(f"{setting}; {new}; UPDATE {schema}.jobs SET status = 'failed'; SHOW search_path")
                    self.assertEqual(self.query(count.format(schema)), [(number, 1)])
            shown = self.query(f"SET search_path = nowhere; DELETE FROM {schema}.jobs; SHOW search_path")
            self.assertEqual(shown, [("nowhere",)])  # the caller's is as it was
            self.assertEqual(self.query(f"SELECT * FROM {schema}.job_totals"), [])

    def role(self) -> str:
        """A new role that may use the schema, which is dropped at the end."""
        role = f"mallory_{uuid.uuid4().hex[:8]}"
        self.query(f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA crawling TO {role}")
        self.addCleanup(execute, server_url(), f"DROP ROLE {role}")
        self.addCleanup(self.query, f"DROP OWNED BY {role}")
        return role

    def test_rights_to_insert(self) -> None:
        """Whoever may insert jobs, and no more, may do so; they are counted, and the counters are out of reach."""
        role = self.role()
        self.query(f"GRANT INSERT ON crawling.jobs TO {role}; GRANT USAGE ON SEQUENCE crawling.job_order TO {role}")
        self.query(f"GRANT SELECT ON crawling.accounts TO {role}")
        self.query(f"SET ROLE {role}; {JOB.partition(' RETURNING')[0]}")
        self.assertEqual(self.query("SELECT state, jobs FROM crawling.job_totals"), [("queued", 1)])
        for statement in ("DELETE FROM crawling.job_counts", "INSERT INTO crawling.job_count_deltas DEFAULT VALUES"):
            with self.assertRaises(psycopg2.errors.InsufficientPrivilege):
                self.query(f"SET ROLE {role}; {statement}")

    def test_rights_of_the_triggers(self) -> None:
        """Their functions run with their owner's rights: on nobody else's table."""
        self.query("INSERT INTO crawling.pauses (scope, target, author) VALUES ('path_prefix', 'g', 'x')")
        role = self.role()
        self.query(
            f"CREATE SCHEMA theirs AUTHORIZATION {role}; SET ROLE {role};"
            "CREATE TABLE theirs.jobs (id text, full_path text, pause_id text, ready boolean, account_id text,"
            " user_id text, command text, status text);"
            "CREATE TABLE theirs.pauses (id text, scope text, target text);"
            "CREATE TABLE theirs.job_count_deltas (account_id text, user_id text, command text, state text,"
            " jobs bigint, created bigint);"
            "CREATE FUNCTION theirs.copilot_counted_state(text, boolean, text) RETURNS text LANGUAGE sql RETURN 'x';"
            "INSERT INTO theirs.pauses VALUES ('p', 'path_prefix', 'g')"
        )
        for function in ("copilot_pause_new_jobs", "copilot_count_new_jobs"):
            trigger = (
                f"CREATE TRIGGER {function} AFTER INSERT ON theirs.jobs REFERENCING NEW TABLE AS new_jobs"
                f" FOR EACH STATEMENT EXECUTE FUNCTION crawling.{function}()"
            )
            with self.assertRaises(psycopg2.errors.InsufficientPrivilege):
                self.query(f"SET ROLE {role}; {trigger}")
            self.query(f"GRANT EXECUTE ON FUNCTION crawling.{function}() TO {role}; SET ROLE {role}; {trigger}")
        self.query(f"SET ROLE {role}; INSERT INTO theirs.jobs VALUES ('j', 'g', NULL, true)")
        self.assertEqual(self.query("SELECT pause_id, ready FROM theirs.jobs"), [(None, True)])
        self.assertEqual(self.query("SELECT * FROM theirs.job_count_deltas"), [])

    def test_unknown_account(self) -> None:
        """An account that only the other program has is unknown."""
        self.query("INSERT INTO public.accounts VALUES ('theirs', 'gitlab-cloud', 'https://elsewhere.test')")
        with self.assertRaisesRegex(psycopg2.errors.ForeignKeyViolation, "there is no account 'theirs'"):
            self.query(JOB.replace("'acct'", "'theirs'"))

    def test_deleted(self) -> None:
        """Deleting a job deletes its assignment and its attempts, and no others."""
        self.query(f"{JOB}; {JOB.replace('g/p', 'g/q')}")
        for table, key in (("job_assignments", "web_app_job_id"), ("job_past_tries", "job_id")):
            more = "account_id, " if table == "job_assignments" else ""
            outcome = ", outcome" if table == "job_past_tries" else ""
            self.query(
                f"INSERT INTO crawling.{table} ({key}, {more}crawler_job_id, try, assigned_at{outcome})"
                f" SELECT id, {more}id, 1, now(){outcome and ', ' + repr('released')} FROM crawling.jobs"
            )
        self.query("DELETE FROM crawling.jobs WHERE full_path = 'g/p'")
        for table, key in (("job_assignments", "web_app_job_id"), ("job_past_tries", "job_id")):
            left = f"SELECT full_path FROM crawling.{table} JOIN crawling.jobs ON id = {key}"
            self.assertEqual(self.query(left), [("g/q",)])
            self.assertEqual(self.query(f"SELECT count(*)::int FROM crawling.{table}"), [(1,)])


class SearchPathTests(_SchemaTestCase):
    """A node's own search_path."""

    def test_not_found(self) -> None:
        """Without the schema in search_path no tables are found; the error names the schema that has some."""
        self.assertEqual(migrate.check(self.public).standing, Standing.EMPTY)
        with self.assertRaisesRegex(SchemaError, r"search_path lacks the schema crawling"):
            migrate.require_current(self.public, upgrade=False)

    def test_hidden(self) -> None:
        """Where search_path finds another program's tables first, nothing is read or changed."""
        url = with_search_path(self.public, "public,crawling")
        for function in (
            migrate.check,
            lambda url: migrate.upgrade(url, ACT),
            lambda url: migrate.require_current(url, upgrade=True),
        ):
            with self.assertRaisesRegex(SchemaError, r"finds public\.accounts before the tables of copilot-socket"):
                function(url)
        self.assertEqual(
            migrate.check(with_search_path(self.public, "crawling,public")).standing, Standing.UP_TO_DATE
        )

    def test_that_is_ours_alone(self) -> None:
        """Other tables of another program do no harm."""
        execute(self.url, "DROP TABLE audit_log; CREATE TABLE public.audit_log ()")
        url = with_search_path(self.public, "crawling,public")
        self.assertEqual(migrate.check(url).standing, Standing.UP_TO_DATE)

    def test_name_taken(self) -> None:
        """Where tables can't be created beside another program's, the error suggests a schema of their own."""
        with self.assertRaisesRegex(SchemaError, 'relation "accounts" already exists.*CREATE SCHEMA copilot'):
            migrate.upgrade(self.public, ACT)
        self.assertEqual(migrate.upgrade(self.url, ACT).standing, Standing.UP_TO_DATE)


class RestoreTests(_SchemaTestCase):
    """Dumps, whose sessions have an empty search_path."""

    def setUp(self) -> None:
        """Jobs in every state, one spawned by another, one with an assignment."""
        super().setUp()
        states = "'queued', 'paused', 'completed', 'failed', 'cancelled', 'assigned', 'running', 'waiting_credential'"
        self.query(
            "INSERT INTO crawling.jobs (account_id, command, full_path, status, tries, scheduled_at)"
            f" SELECT 'acct', 'issues', s, s, 3, now() + interval '1 hour' FROM unnest(ARRAY[{states}]) AS s;"
            "UPDATE crawling.jobs SET spawned_from = (SELECT min(id) FROM crawling.jobs) WHERE status = 'queued';"
            "INSERT INTO crawling.job_assignments (web_app_job_id, crawler_job_id, account_id, try)"
            " SELECT id, 'x', 'acct', 3 FROM crawling.jobs WHERE status = 'running';"
            "INSERT INTO crawling.job_error_log (job_id, error_message, is_recoverable) VALUES ('x', 'x', true)",
        )
        self.fresh = fresh_database(migrated=False)
        self.addCleanup(drop_database, self.fresh)

    def program(self, name: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs, which must succeed; its output."""
        with admin(server_url()) as connection:
            own = Path(f"/usr/lib/postgresql/{connection.server_version // 10000}/bin")
        directory = own if (own / name).exists() else packaged_programs().bin
        done = subprocess.run([directory / name, *arguments], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, f"{name} {arguments}: {done.stderr}")
        return done.stdout

    def script(self, url: str, text: str) -> None:
        """Have psql run *text*, to the first error."""
        path = Path(self.mktemp())
        path.write_text(text)
        self.program("psql", "-qXv", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f", str(path), url)

    def assert_the_same(self, counted: bool = True) -> None:
        """The copy has the same rows, works, and is up to date; its counters are right, or are so once compared."""
        url = with_search_path(self.fresh, "crawling")
        if not counted:
            self.assertNotEqual(self.query(COUNTERS_THAT_DIFFER, url), [])
            with admin(url) as connection, connection.cursor() as cursor:
                cursor.execute(sql("check_counts"), {"account": "acct"})
        self.assertEqual(self.query(COUNTERS_THAT_DIFFER, url), [])
        for table in ("jobs", "job_assignments", "job_error_log", "accounts"):
            rows = f"SELECT t::text FROM crawling.{table} t ORDER BY 1"
            self.assertEqual(self.query(rows, self.fresh), self.query(rows))
        self.assertEqual(self.query(JOB, self.fresh), [(URL,)])
        self.assertEqual(migrate.check(with_search_path(self.fresh, "crawling")).standing, Standing.UP_TO_DATE)

    def test_script(self) -> None:
        """All of it, by psql."""
        self.script(self.fresh, self.program("pg_dump", self.public))
        self.assert_the_same()

    def test_archive(self) -> None:
        """All of it, by pg_restore."""
        dump = self.mktemp()
        self.program("pg_dump", "-Fc", "-f", dump, self.public)
        self.program("pg_restore", "--exit-on-error", "-d", self.fresh, dump)
        self.assert_the_same()

    def test_rows_after_tables(self) -> None:
        """The tables first, triggers and all, then the rows."""
        self.script(self.fresh, self.program("pg_dump", "--schema-only", self.public))
        dump = self.mktemp()
        self.program("pg_dump", "-Fc", "--data-only", "-f", dump, self.public)
        self.program("pg_restore", "--exit-on-error", "-d", self.fresh, dump)
        self.assert_the_same(counted=False)

    def test_rows_into_new_tables(self) -> None:
        """Rows go into tables that `migrate` has made, if these are of the same revision."""
        execute(self.fresh, "CREATE SCHEMA crawling")
        migrate.upgrade(with_search_path(self.fresh, "crawling"), ACT)
        execute(self.fresh, "DELETE FROM crawling.audit_log")
        rows = self.program("pg_dump", "--data-only", "-n", "crawling", self.public)
        with self.assertRaisesRegex(AssertionError, "these rows are of revision 0005_bounds"):
            self.script(self.fresh, rows.replace(migrate.head(), "0005_bounds"))
        execute(self.fresh, "TRUNCATE crawling.accounts, crawling.audit_log CASCADE")
        self.script(self.fresh, rows)
        self.assert_the_same(counted=False)
