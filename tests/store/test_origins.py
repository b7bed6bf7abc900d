"""Tokens are bound to the origin of their account's GitLab, by the database itself."""

import uuid
from datetime import UTC, datetime

import psycopg2
from hypothesis import given
from hypothesis import strategies as st
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.origins import origin
from copilot_socket.store import migrate
from tests.support.acts import ACT
from tests.support.postgres import SynchronousDatabaseTestCase, admin, drop_database, execute, fresh_database
from tests.support.revisions import upgrade_to

URLS = st.one_of(
    st.text("htps:/.@\\?#[]0189aZ-_ \n", max_size=24),
    st.from_regex(r"\Ahttps?://[A-Za-z0-9_.-]{1,6}(:[0-9]{0,6})?(/[ -~]{0,6})?\Z"),
    st.from_regex(r"\Ahttps?://\[[0-9A-G:.]{1,6}\](:[0-9]{0,6})?(/[ -~]{0,6})?\Z"),
)


class OriginTests(SynchronousDatabaseTestCase):
    """An account at https://gitlab.example.org/sub."""

    def setUp(self) -> None:
        super().setUp()
        self.connections: list[Connection] = []
        self.addCleanup(lambda: [connection.close() for connection in self.connections])
        self.db = self.connect()
        self.db.autocommit = True
        self.run_(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
            " VALUES ('a', 'gitlab-onprem', 'https://gitlab.example.org/sub', 't')"
        )

    def connect(self) -> Connection:
        """A new connection, which does not wait for locks."""
        self.connections.append(psycopg2.connect(self.database_url, options="-c lock_timeout=1ms"))
        return self.connections[-1]

    def run_(self, statement: str, *parameters: object, on: Connection | None = None) -> list[tuple[object, ...]]:
        """Run one statement; return its rows."""
        with (on or self.db).cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def add_job(self, path: str, url: str | None = None, on: Connection | None = None) -> None:
        """Insert a job as another program would."""
        insert = "INSERT INTO jobs (account_id, command, full_path, gitlab_url) VALUES ('a', 'issues', %s, %s)"
        self.run_(insert, path, url, on=on)

    @given(st.lists(URLS, min_size=1, max_size=100))
    def test_the_same_in_sql(self, urls: list[str]) -> None:
        """PostgreSQL and Python agree on origins."""
        urls += ["https://GitLab.Example.org:443/", "http://h:8080", "http://h:0", "http://h/a?b", "http://[::1]/"]
        rows = self.run_("SELECT copilot_origin(url) FROM unnest(%s) WITH ORDINALITY AS t (url, n) ORDER BY n", urls)
        self.assertEqual([row[0] for row in rows], [origin(url) for url in urls])

    def test_jobs_at_their_accounts_origin(self) -> None:
        """A job takes its account's URL, or has one of the same origin."""
        self.add_job("g/1")
        self.add_job("g/2", "https://GITLAB.example.org:443")
        self.assertEqual(
            self.run_("SELECT gitlab_url FROM jobs ORDER BY full_path"),
            [("https://gitlab.example.org/sub",), ("https://GITLAB.example.org:443",)],
        )

    def test_foreign_jobs(self) -> None:
        """A job for another origin is refused; the error contains origins only, not the URLs."""
        for url in ("http://gitlab.example.org", "https://gitlab.example.org:8443/secret", "https://evil.example"):
            error = self.assertRaises(psycopg2.errors.CheckViolation, self.add_job, "g/1", url)
            self.assertEqual(error.diag.constraint_name, "jobs_origin")
            self.assertIn("https://gitlab.example.org", str(error.diag.message_primary))
            self.assertNotIn("secret", str(error))
        for url in (
            "https://gitlab.example.org@evil.example/",
            "https://u:secret@gitlab.example.org",
            "https://evil\\",
        ):
            error = self.assertRaises(psycopg2.errors.CheckViolation, self.add_job, "g/1", url)
            self.assertNotIn("secret", str(error))

    def test_an_update_to_a_foreign_one(self) -> None:
        """An update of a job to another origin is refused, too."""
        self.add_job("g/1")
        for change in ("gitlab_url = 'https://evil.example'", "gitlab_url = 'https://u@gitlab.example.org'"):
            self.assertRaises(psycopg2.errors.CheckViolation, self.run_, f"UPDATE jobs SET {change}")
        self.run_("UPDATE jobs SET gitlab_url = 'https://gitlab.example.org/other'")

    def test_what_has_ended(self) -> None:
        """A job that has ended may have any origin: a dump may contain it."""
        self.add_job("g/1")
        self.run_("UPDATE jobs SET status = 'completed'; UPDATE jobs SET gitlab_url = 'https://old.example'")
        insert = "INSERT INTO jobs (account_id, command, status, gitlab_url) VALUES ('a', 'users', %s, 'https://old.example')"
        self.run_(insert, "failed")
        self.assertRaises(psycopg2.errors.CheckViolation, self.run_, insert, "paused")

    def test_anywhere(self) -> None:
        """The checks work in another schema, for sessions without that search_path."""
        self.run_("ALTER SCHEMA public RENAME TO elsewhere; SET search_path = pg_catalog")
        insert = (
            "INSERT INTO elsewhere.jobs (id, account_id, command, full_path, provider, gitlab_url)"
            " VALUES ('01ARZ3NDEKTSV4RRFFQ69G5FAV', 'a', 'issues', 'g', 'gitlab-onprem', %s)"
        )
        self.assertRaises(psycopg2.errors.CheckViolation, self.run_, insert, "https://evil.example")
        move = "UPDATE elsewhere.accounts SET gitlab_url = 'https://new.example'"
        self.run_(move)
        self.assertRaises(
            psycopg2.errors.CheckViolation, self.run_, "UPDATE elsewhere.accounts SET gitlab_url = 'https://u@h'"
        )

    def test_no_table_of_the_callers(self) -> None:
        """A temporary table called accounts does not mislead the check."""
        self.run_(
            "CREATE TEMP TABLE accounts AS SELECT id, provider, 'https://evil.example' AS gitlab_url FROM accounts"
        )
        self.assertRaises(psycopg2.errors.CheckViolation, self.add_job, "g/1", "https://evil.example")

    def test_who_may_only_insert(self) -> None:
        """A role that may insert jobs, and lock nothing of accounts, can insert jobs."""
        role = f"web_{uuid.uuid4().hex}"
        self.run_(f"CREATE ROLE {role}")
        self.addCleanup(execute, self.database_url, f"DROP OWNED BY {role}; DROP ROLE {role}")
        self.run_(f"GRANT INSERT, SELECT ON jobs TO {role}; GRANT USAGE ON SEQUENCE job_order TO {role}")
        self.run_(f"GRANT SELECT (id, provider, gitlab_url) ON accounts TO {role}")
        self.run_(f"SET ROLE {role}")
        self.add_job("g/1", "https://gitlab.example.org/")
        self.assertRaises(psycopg2.errors.CheckViolation, self.add_job, "g/2", "https://evil.example")
        self.run_("RESET ROLE")

    def test_accounts_without_an_origin(self) -> None:
        """An account's URL must have a valid host, and no user name."""
        for url in ("https://u:p@gitlab.example.org", "https://gitlab.example.org\\@evil", "https://h/?a"):
            change = "UPDATE accounts SET gitlab_url = %s"
            self.assertRaises(psycopg2.errors.CheckViolation, self.run_, change, url)

    def test_a_move(self) -> None:
        """An account can move to another origin without live jobs only; within its origin at any time."""
        self.add_job("g/1")
        move = "UPDATE accounts SET gitlab_url = 'https://new.example'"
        for status in ("queued", "assigned", "running", "paused", "waiting_credential"):
            self.run_("UPDATE jobs SET status = %s", status)
            self.assertRaises(psycopg2.errors.ObjectInUse, self.run_, move)
        self.run_("UPDATE accounts SET gitlab_url = 'https://gitlab.example.org/elsewhere'")
        self.run_("UPDATE jobs SET status = 'completed'")
        self.run_(move)

    def test_a_job_during_a_move(self) -> None:
        """An insertion waits for a move of the account, and is then checked against the new origin."""
        mover, inserter = self.connect(), self.connect()
        self.run_("UPDATE accounts SET gitlab_url = 'https://new.example'", on=mover)
        old = "https://gitlab.example.org"
        self.assertRaises(psycopg2.errors.LockNotAvailable, self.add_job, "g/1", old, inserter)
        inserter.rollback()
        mover.commit()
        self.assertRaises(psycopg2.errors.CheckViolation, self.add_job, "g/1", old, inserter)

    def test_a_move_during_an_insertion(self) -> None:
        """A move waits for an insertion of a job, and is then refused."""
        mover, inserter = self.connect(), self.connect()
        self.add_job("g/1", on=inserter)
        move = "UPDATE accounts SET gitlab_url = 'https://new.example'"
        self.assertRaises(psycopg2.errors.LockNotAvailable, self.run_, move, on=mover)
        mover.rollback()
        inserter.commit()
        self.assertRaises(psycopg2.errors.ObjectInUse, self.run_, move, on=mover)

    def test_refreshes_are_no_moves(self) -> None:
        """Other changes of an account do not wait for insertions of jobs."""
        inserter = self.connect()
        self.add_job("g/1", on=inserter)
        self.run_("UPDATE accounts SET access_token = 'u', token_expires_at = %s", datetime.now(UTC))


class MigrationTests(SynchronousTestCase):
    """The upgrade of rows that an earlier version accepted."""

    def test_rows_of_before(self) -> None:
        """Live jobs are given their accounts' URL, with a notice; ended jobs are unchanged."""
        url = fresh_database(migrated=False)
        self.addCleanup(drop_database, url)
        upgrade_to(url, "0007")
        execute(
            url,
            """
            INSERT INTO accounts (id, provider, gitlab_url, access_token)
              VALUES ('a', 'gitlab-onprem', 'https://gitlab.example.org/sub', 't');
            INSERT INTO jobs (account_id, command, full_path, gitlab_url, status)
              SELECT 'a', 'issues', status || url, url, status
              FROM unnest('{queued,completed}'::text[]) AS status,
                   unnest('{https://evil.example,https://gitlab.example.org/x,https://gitlab.example.org}'::text[])
                     AS url
            """,
        )
        [notice] = migrate.upgrade(url, ACT).notices
        self.assertIn("gitlab_url of 1 live jobs", notice)
        with admin(url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT status, gitlab_url FROM jobs ORDER BY 1, 2")
            urls = ("https://gitlab.example.org", "https://gitlab.example.org/sub", "https://gitlab.example.org/x")
            self.assertEqual(
                cursor.fetchall(),
                [
                    *(("completed", url) for url in ("https://evil.example", urls[0], urls[2])),
                    *(("queued", url) for url in urls),
                ],
            )
