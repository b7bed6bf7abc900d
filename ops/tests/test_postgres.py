"""The SQL of ops/postgres/, run by psql against a real PostgreSQL; a node lives with the rights that it gives."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from copilot_socket.store.embedded import EmbeddedPostgres
from copilot_socket.store.embedded.binaries import packaged_programs
from ops.tests.support import OPS
from tests.support.crawler import TestCrawler, until
from tests.support.postgres import FAST, admin, as_role, reachable_directory, with_database
from tests.support.server import ServerProcess, beside_python, get_json, run_program

OWNER, SERVER, WEB, MONITOR = "copilot_owner", "copilot_server", "copilot_web", "copilot_monitor"
NEW_JOB = "INSERT INTO jobs (account_id, command, full_path) VALUES ('demo', 'issues', 'acme/shop') RETURNING id"


TALKATIVE = {
    "log_min_error_statement": "error",
    "log_error_verbosity": "default",
    "log_statement": "all",
    "log_min_duration_statement": "0",
}
"""A server that writes everything to its log."""


class RolesTests(TestCase):
    """A cluster of its own for each test: roles belong to all of a cluster's databases."""

    def setUp(self) -> None:
        """A fresh cluster, and the roles and the database in it."""
        directory = reachable_directory()
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.server = server = EmbeddedPostgres(directory, {**FAST, **TALKATIVE})
        self.addCleanup(server.stop, only_if_unused=False)
        self.url = with_database(server.start(), "copilot")
        with admin(with_database(self.url, "template1")) as connection, connection.cursor() as cursor:
            cursor.execute("DROP DATABASE copilot")  # the embedded server's own, which no other PostgreSQL has
        self.psql("1-roles.sql", with_database(self.url, "template1"))

    def psql(self, script: str, url: str, *options: str) -> None:
        """Run a script as its first lines say; the first error ends it."""
        psql = packaged_programs()["psql"]
        command = [psql, "-X", "-v", "ON_ERROR_STOP=1", *options, "-f", str(OPS / "postgres" / script), url]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual((answer.returncode, answer.stderr), (0, ""))

    def as_role(self, role: str) -> str:
        """The database's URL for *role*."""
        return as_role(self.url, role)

    def query(self, role: str, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Run a statement as *role*."""
        with admin(self.as_role(role)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def assert_refused(self, role: str, *statements: str) -> None:
        """*role* may do none of these."""
        for statement in statements:
            refusals = (psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ReadOnlySqlTransaction)
            with self.assertRaises(refusals, msg=f"{role}: {statement}"):
                self.query(role, statement)

    async def command(self, role: str, *words: str) -> tuple[int, str]:
        """Run `copilot-socket` as *role*: its exit status, and all that it said."""
        environ = {"DATABASE_URL": self.as_role(role), "SOCKET_PATH": "/tmp/copilot-none/s", "COPILOT_HTTP_PORT": "0"}
        program, _ = run_program([beside_python("copilot-socket"), *words], environ, Path("/"))
        status = await program.ended
        return status, (program.out + program.err).decode()

    async def migrated(self) -> None:
        """The tables, made by the owner; then the rights."""
        status, said = await self.command(OWNER, "migrate")
        self.assertEqual(status, 0, said)
        self.psql("2-rights.sql", self.as_role(OWNER))

    async def test_a_whole_life(self) -> None:
        """From an empty cluster to a finished job: each role does its part, and nobody lacks a right."""
        status, said = await self.command(SERVER, "check")
        self.assertEqual(status, 1)
        self.assertIn("copilot-socket migrate", said)
        await self.migrated()
        for words in (("check",), ("seed",), ("cleanup",)):
            status, said = await self.command(SERVER, *words)
            self.assertEqual(status, 0, said)
        server = await self.a_job_is_done()
        await self.use_the_api(server)
        self.assertEqual(await server.stop(), 0)
        self.assertNotIn("permission denied", server.log)

    async def a_job_is_done(self) -> ServerProcess:
        """A node, which has handed out a job of the web application's; it still runs."""
        server = ServerProcess(self.as_role(SERVER))
        self.addCleanup(lambda: Deferred.fromCoroutine(server.clean_up()))
        await server.start()
        [(job_id,)] = self.query(WEB, NEW_JOB)
        crawler = await TestCrawler.connect(server.socket_path, "c1")
        self.addCleanup(crawler.hang_up)
        await crawler.hello(entityTypes=["issue"])
        crawler.complete((await crawler.take_job())["id"])
        await until(lambda: self.status_of(job_id) == "completed", "the job is completed")
        return server

    async def test_paused_paths(self) -> None:
        """The web application's jobs are marked under a paused path, which it may not change itself."""
        await self.migrated()
        status, said = await self.command(SERVER, "seed")
        self.assertEqual(status, 0, said)
        [(job_id,)] = self.query(WEB, NEW_JOB)
        [(path,)] = self.query(WEB, "SELECT full_path FROM jobs WHERE id = %s", job_id)
        self.query(SERVER, "DELETE FROM jobs")
        self.query(SERVER, "INSERT INTO pauses (scope, target, author) VALUES ('path_prefix', %s, 'x')", path)
        [(job_id,)] = self.query(WEB, NEW_JOB)
        marked = "SELECT ready FROM jobs j JOIN pauses p ON p.id = j.pause_id WHERE j.id = %s"
        self.assertEqual(self.query(WEB, marked, job_id), [(False,)])
        self.assert_refused(WEB, "UPDATE jobs SET pause_id = NULL", "DELETE FROM pauses")

    async def script(self, role: str, name: str, *arguments: str) -> str:
        """Run backup or restore as *role*; what it said."""
        command = [sys.executable, str(OPS / "backup" / name), f"--database-url={self.as_role(role)}", *arguments]
        program, _ = run_program(command, {}, Path("/"))
        self.assertEqual(await program.ended, 0, program.err.decode())
        return program.out.decode()

    async def test_backup_and_restore(self) -> None:
        """What a node's role has dumped, the owner restores into a new database, and a node works on it."""
        await self.migrated()
        status, said = await self.command(SERVER, "seed")
        self.assertEqual(status, 0, said)
        dumps = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, dumps)
        self.assertIn(str(dumps), await self.script(SERVER, "backup", f"--directory={dumps}"))
        [dump] = dumps.iterdir()
        with admin(with_database(self.url, "template1")) as connection, connection.cursor() as cursor:
            cursor.execute("ALTER DATABASE copilot RENAME TO copilot_old")
        self.psql("1-roles.sql", with_database(self.url, "template1"))
        self.assertIn("jobs: 2 queued", await self.script(OWNER, "restore", str(dump)))
        self.psql("2-rights.sql", self.as_role(OWNER))
        status, said = await self.command(SERVER, "check")
        self.assertEqual(status, 0, said)
        await self.a_job_is_done()

    async def test_dumps_hold_everything(self) -> None:
        """There is no table and no sequence that the dumping role may not read, nor would one of tomorrow be."""
        await self.migrated()
        await deferToThread(self.query, OWNER, "CREATE TABLE later (id bigint GENERATED ALWAYS AS IDENTITY)")
        readable = "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'S', 'v') AND relnamespace = (%s)"
        names = readable % "SELECT oid FROM pg_namespace WHERE nspname = 'public'"
        self.assertGreater(len(self.query(SERVER, names)), 10)
        forbidden = f"{names} AND NOT CASE relkind WHEN 'S' THEN has_sequence_privilege(oid, 'SELECT') ELSE "
        self.assertEqual(self.query(SERVER, f"{forbidden} has_table_privilege(oid, 'SELECT') END"), [])

    async def test_in_a_schema_of_their_own(self) -> None:
        """The tables in another schema, found by search_path: the same rights, also where PUBLIC may call nothing."""
        for statement in (
            "CREATE SCHEMA crawling",
            "ALTER DATABASE copilot SET search_path = crawling",
            "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
        ):
            await deferToThread(self.query, OWNER, statement)
        status, said = await self.command(OWNER, "migrate")
        self.assertEqual(status, 0, said)
        await deferToThread(self.psql, "2-rights.sql", self.as_role(OWNER), "-v", "schema=crawling")
        for words in (("check",), ("seed",), ("cleanup",)):
            status, said = await self.command(SERVER, *words)
            self.assertEqual(status, 0, said)
        self.assertEqual(len(self.query(WEB, NEW_JOB)), 1)
        self.assertEqual(self.query(MONITOR, "SELECT count(*)::int FROM jobs"), [(3,)])

    async def use_the_api(self, server: ServerProcess) -> None:
        """Whatever writes, once."""
        account = {"provider": "gitlab-onprem", "gitlab_url": "https://gitlab.example", "access_token": "t"}
        status, _ = await get_json(server.port, "/api/v1/accounts/other", "PUT", account)
        self.assertEqual(status, 201)
        status, answer = await get_json(
            server.port, "/api/v1/jobs", "POST", {"account_id": "other", "command": "users"}
        )
        self.assertEqual(status, 201)
        for action in ("cancel", "retry"):
            status, _ = await get_json(server.port, f"/api/v1/jobs/{answer['id']}/{action}", "POST")
            self.assertEqual(status, 200)
        for path in ("jobs", "accounts", "areas", "crawlers", "stats", "audit", f"jobs/{answer['id']}"):
            status, _ = await get_json(server.port, f"/api/v1/{path}")
            self.assertEqual(status, 200, path)

    def status_of(self, job_id: object) -> object:
        """As the monitoring role sees it."""
        [(status,)] = self.query(MONITOR, "SELECT status FROM jobs WHERE id = %s", job_id)
        return status

    async def test_what_nobody_may(self) -> None:
        """Each role is refused what is not its own, and rights that were given by hand are gone after the script."""
        await self.migrated()
        await deferToThread(self.query, OWNER, "GRANT ALL ON ALL TABLES IN SCHEMA public TO copilot_web, PUBLIC")
        await deferToThread(self.psql, "2-rights.sql", self.as_role(OWNER))
        status, said = await self.command(SERVER, "seed")
        self.assertEqual(status, 0, said)
        for role in (SERVER, WEB, MONITOR):
            self.assert_refused(
                role,
                "CREATE TABLE mine (n integer)",
                "CREATE SCHEMA mine",
                "CREATE TEMPORARY TABLE mine (n integer)",
                "ALTER TABLE jobs ADD mine integer",
                "DROP TABLE jobs",
                "TRUNCATE audit_log",
                "UPDATE copilot_socket_version SET version_num = 'mine'",
                "CREATE ROLE mine",
            )
        for role in (WEB, MONITOR):
            self.assert_refused(
                role,
                "SELECT access_token FROM accounts",
                "SELECT refresh_token FROM accounts",
                "SELECT * FROM accounts",
                "SELECT * FROM idempotency_keys",
                "UPDATE jobs SET priority = 1",
                "DELETE FROM jobs",
                "INSERT INTO audit_log (actor, action) VALUES ('mine', 'x')",
                "UPDATE audit_log SET actor = 'mine'",
                "DELETE FROM audit_log",
                "INSERT INTO jobs (account_id, command, status) VALUES ('demo', 'users', 'completed')",
                "INSERT INTO job_assignments (web_app_job_id, crawler_job_id, account_id, try, crawler_key)"
                " VALUES ('1', '1', 'demo', 1, '1')",
                "INSERT INTO accounts (id, provider, gitlab_url, access_token)"
                " VALUES ('mine', 'gitlab-cloud', 'https://gitlab.example', 'x')",
            )
        self.assert_refused(WEB, "SELECT * FROM audit_log")
        self.assertEqual(
            self.query(MONITOR, "SELECT action FROM audit_log WHERE door = 'cli' AND target = 'demo'"), [("seed",)]
        )
        self.assert_refused(MONITOR, NEW_JOB, f"SET default_transaction_read_only = off; {NEW_JOB}")
        self.assertEqual(len(self.query(WEB, NEW_JOB)), 1)
        self.assertEqual(self.query(MONITOR, "SELECT count(*)::int FROM jobs WHERE status = 'queued'"), [(3,)])
        self.assertEqual(self.query(WEB, "SELECT id, credential_status FROM accounts"), [("demo", "valid")])

    async def test_the_log_of_the_server(self) -> None:
        """What a node stores does not get into PostgreSQL's log, whether it is stored or refused."""
        await self.migrated()
        status, said = await self.command(SERVER, "seed")
        self.assertEqual(status, 0, said)
        self.query(OWNER, "ALTER TABLE accounts ADD CHECK (access_token NOT LIKE '%-refused')")
        self.query(SERVER, "UPDATE accounts SET access_token = 'MARKED-stored'")
        for change in ("access_token = 'MARKED-refused'", "id = repeat('x', 999), refresh_token = 'MARKED'"):
            with self.assertRaises(psycopg2.errors.CheckViolation):
                self.query(SERVER, f"UPDATE accounts SET {change}")
        logged = self.server.log_file.read_text()
        self.assertIn("violates check constraint", logged)
        self.assertNotIn("MARKED", logged)

    def test_other_roles(self) -> None:
        """A role that the script does not name can't even connect."""
        with admin(self.url) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE ROLE stranger LOGIN")
        self.assertEqual(urlsplit(self.url).path, "/copilot")
        with self.assertRaisesRegex(psycopg2.OperationalError, "permission denied for database"):
            self.query("stranger", "SELECT 1")
