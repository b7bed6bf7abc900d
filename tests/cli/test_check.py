"""`copilot-socket check`."""

import os
import shutil
import socket
import uuid
from pathlib import Path
from typing import Any

from copilot_socket.store import migrate
from copilot_socket.store.embedded import EmbeddedPostgres, keys_in_use
from copilot_socket.store.rights import TABLES, VERSION_TABLE
from tests.cli.support import CommandTestCase
from tests.support.certificates import DAY, Authority
from tests.support.postgres import (
    FAST,
    admin,
    as_role,
    drop_database,
    execute,
    fresh_database,
    reachable_directory,
    server_url,
    with_database,
    with_search_path,
)

FORGET = "copilot_forget_events(regclass, integer)"
SEQUENCES_TO = f"GRANT EXECUTE ON FUNCTION {FORGET} TO PUBLIC; GRANT USAGE ON SEQUENCE event_seq, job_order TO"


class CheckTests(CommandTestCase):
    """Each finding, good and bad."""

    def setUp(self) -> None:
        """A right configuration: a migrated database, a free socket path, any free port."""
        super().setUp()
        self.directory = reachable_directory("check-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.socket_path = str(self.directory / "s")
        self.environ |= {"SOCKET_PATH": self.socket_path, "COPILOT_HTTP_PORT": "0"}

    def use_database(self, *, migrated: bool = True) -> str:
        """Configure a database of our own."""
        url = fresh_database(migrated=migrated)
        self.addCleanup(drop_database, url)
        self.environ["DATABASE_URL"] = url
        return url

    def check(self) -> tuple[int, dict[str, dict[str, Any]]]:
        """The exit status, and the findings by subject (one of each in these tests)."""
        outcome = self.run_command("check", "--json")
        return outcome.status, {finding["subject"]: finding for finding in outcome.answer["findings"]}

    def assert_fault(self, subject: str, *words: str) -> None:
        """Only this finding is bad; its detail and remedy hold the words."""
        status, findings = self.check()
        self.assertEqual(status, 1)
        self.assertEqual([name for name, finding in findings.items() if not finding["good"]], [subject])
        text = f"{findings[subject]['detail']} {findings[subject]['remedy']}"
        for word in words:
            self.assertIn(word, text)

    def test_endpoints(self) -> None:
        """Each of COPILOT_LISTEN: its files and its place; the first fault of a place is its finding."""
        self.use_database()
        own = Authority().issue("node", server=True).write(self.directory, "own")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            tls = f"ssl:{port}:interface=127.0.0.1:certKey={own}:clientFingerprints={self.directory}/list"
            self.environ |= {"COPILOT_LISTEN": tls}
            self.assert_fault(f"COPILOT_LISTEN ssl:{port}", "there is no file", "list", "COPILOT_LISTEN")
            (self.directory / "list").touch()
            self.assert_fault(f"COPILOT_LISTEN ssl:{port}", "Address already in use", str(port))
        _, findings = self.check()
        self.assertRegex(
            findings[f"COPILOT_LISTEN ssl:{port}"]["detail"], f"certificate CN=node, .*; port {port} is free"
        )
        old = Authority().issue("old", start=-2 * DAY, end=-DAY, server=True).write(self.directory, "own")
        self.assertEqual(old, own)
        status, findings = self.check()
        self.assertEqual(status, 0)
        self.assertIn("renew", findings[f"COPILOT_LISTEN ssl:{port}"]["remedy"])
        self.environ |= {"COPILOT_LISTEN": "tcp:0", "COPILOT_CRAWLER_TOKEN": ""}
        self.assert_fault("configuration", "'tcp:0' only with COPILOT_CRAWLER_TOKEN", "COPILOT_LISTEN")
        (self.directory / "file").touch()
        self.environ |= {"COPILOT_LISTEN": f"unix:{self.directory}/file"}
        self.assert_fault(f"COPILOT_LISTEN unix:{self.directory}/file", "not a socket", "set COPILOT_LISTEN")

    def test_all_is_well(self) -> None:
        """Status 0, for people with one line a finding and what is not default, secrets masked."""
        self.use_database()
        self.environ["COPILOT_HTTP_TOKEN"] = "hush-hush"
        outcome = self.run_command("check")
        self.assertEqual((outcome.status, outcome.errors), (0, ""))
        self.assertIn("A node can run here.", outcome.output)
        self.assertIn("COPILOT_HTTP_TOKEN = ***", outcome.output)
        self.assertNotIn("hush-hush", outcome.output)
        self.assertEqual(self.check()[0], 0)

    def test_http_token(self) -> None:
        """That of the configuration, or of a file, or one that will be made; a short one is noted."""
        self.use_database()
        state = self.directory / "state"
        self.environ["COPILOT_STATE_DIR"] = str(state)
        self.assertIn("the first start makes", self.check()[1]["HTTP token"]["detail"])
        state.mkdir()
        (state / "http-token").write_text("a-token")
        self.assert_fault("HTTP token", f"chmod 600 {state}/http-token")
        (state / "http-token").chmod(0o600)
        self.assertEqual(self.check()[1]["HTTP token"]["detail"], f"that of {state}/http-token")
        (state / "http-token").write_text(" ")
        self.assert_fault("HTTP token", "holds no token")
        self.environ |= {"COPILOT_HTTP_TOKEN": "tok", "COPILOT_CRAWLER_TOKEN": "tok"}
        for subject in ("HTTP token", "crawler token"):
            self.assertIn("might be guessed", self.check()[1][subject]["remedy"])

    def test_every_fault_at_once(self) -> None:
        """Configuration, database and socket are all reported in one run, each with a remedy."""
        self.use_database(migrated=False)
        self.environ |= {"SOCKET_MODE": "9", "SOCKET_LEASE": "x", "SOCKET_PATH": "/dev/null/s"}
        outcome = self.run_command("check")
        self.assertEqual(outcome.status, 1)
        for words in ("SOCKET_MODE is '9'", "SOCKET_LEASE is 'x'", "copilot-socket migrate", "set SOCKET_PATH"):
            self.assertIn(words, outcome.output)
        self.assertIn("4 faults found.", outcome.output)

    def test_unknown_names(self) -> None:
        """A name similar to a variable is reported with the variable, and is not a fault."""
        self.use_database()
        self.environ["SOCKET_MAX_CONNECTION"] = "5"
        outcome = self.run_command("check")
        self.assertEqual(outcome.status, 0)
        self.assertIn("note  configuration: SOCKET_MAX_CONNECTION (environment) is not a variable", outcome.output)
        self.assertIn("is SOCKET_MAX_CONNECTIONS meant?", outcome.output)

    def test_faulty_files(self) -> None:
        """Faults of a line of the .env file, and of a secret's file, are reported with a remedy."""
        Path(".env.development").write_text("nonsense\n")
        self.addCleanup(Path(".env.development").unlink)
        self.environ["DATABASE_URL_FILE"] = "/nowhere"
        findings = self.run_command("check", "--json").answer["findings"]
        self.assertEqual({finding["subject"] for finding in findings} & {"database", "schema"}, set())
        faults = [(finding["detail"], finding["remedy"]) for finding in findings if not finding["good"]]
        self.assertEqual(faults[0][0], ".env.development, line 1: expected NAME=value")
        self.assertIn("correct or remove", faults[0][1])
        self.assertEqual(faults[1][1], "set or unset DATABASE_URL_FILE")

    def test_faulty_variables_are_not_looked_into(self) -> None:
        """What depends on a faulty variable is not inspected by its default instead."""
        names = ("DATABASE_URL", "SOCKET_PATH", "COPILOT_HTTP_PORT", "COPILOT_STATE_DIR")
        self.environ |= dict.fromkeys(names, "nonsense")
        self.assertEqual(set(self.check()[1]), {"configuration"})

    def test_unreachable_database(self) -> None:
        """An unreachable database is named without its password."""
        self.environ["DATABASE_URL"] = "postgresql://a:hush@127.0.0.1:1/d"
        self.assert_fault("database", "postgresql://a:***@127.0.0.1:1/d", "refused", "DATABASE_URL")
        self.assertNotIn("hush", self.run_command("check").output)

    def test_unknown_database(self) -> None:
        """A database that does not exist."""
        self.environ["DATABASE_URL"] = with_database(self.use_database(), "no_such")
        self.assert_fault("database", "does not exist", "1-roles.sql")

    def test_old_server(self) -> None:
        """A PostgreSQL that is too old."""
        self.use_database()
        self.patch(migrate, "OLDEST_SERVER", 99)
        self.assert_fault("database", "use PostgreSQL 99 or newer")

    def test_encoding(self) -> None:
        """A database that cannot hold every character."""
        url = self.use_database()
        other = with_database(url, "check_latin1")
        execute(
            url, "CREATE DATABASE check_latin1 TEMPLATE template0 ENCODING LATIN1 LOCALE 'C' LOCALE_PROVIDER libc"
        )
        self.addCleanup(drop_database, other)
        self.environ["DATABASE_URL"] = other
        self.assert_fault("database", "LATIN1", "UTF8")

    def test_schema_missing(self) -> None:
        """No tables yet: the command that makes them is named."""
        self.use_database(migrated=False)
        self.assert_fault("schema", "copilot-socket migrate")

    def test_schema_ahead(self) -> None:
        """A database that a newer version migrated."""
        execute(self.use_database(), "UPDATE copilot_socket_version SET version_num = '9999_later'")
        self.assert_fault("schema", "9999_later", "upgrade copilot-socket")

    def test_schema_in_another_place(self) -> None:
        """Tables that search_path does not find, and those of another program that it finds first."""
        url = self.use_database()
        execute(url, "ALTER SCHEMA public RENAME TO crawling; CREATE SCHEMA public")
        self.assert_fault("schema", "search_path lacks the schema crawling", "copilot-socket migrate")
        execute(url, "CREATE TABLE public.accounts ()")
        self.environ["DATABASE_URL"] = with_search_path(url, "public,crawling")
        self.assert_fault("schema", "finds public.accounts before the tables of copilot-socket")
        self.environ["DATABASE_URL"] = with_search_path(url, "crawling,public")
        self.assertEqual(self.check()[0], 0)

    def test_function_missing(self) -> None:
        """A missing function."""
        execute(self.use_database(), "ALTER FUNCTION copilot_ulid() RENAME TO other")
        self.assert_fault("tables", "copilot_ulid()")

    def test_table_missing(self) -> None:
        """A missing table."""
        execute(self.use_database(), "DROP TABLE audit_log CASCADE")
        self.assert_fault("tables", "audit_log")

    def test_tables_are_ours(self) -> None:
        """Every table of the migrations is checked, except alembic's own."""
        url = self.use_database()
        with admin(url) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                " AND relkind IN ('r', 'p') AND NOT relispartition"
            )
            made = {row[0] for row in cursor.fetchall()}
        self.assertEqual(set(TABLES), made - {VERSION_TABLE})

    def test_rights(self) -> None:
        """A role without the rights of a node: which ones it lacks, and what gives them."""
        role = f"check_{uuid.uuid4().hex}"
        url = self.use_database()
        execute(url, f"CREATE ROLE {role} LOGIN")
        self.addCleanup(execute, server_url(), f"DROP ROLE {role}")
        self.addCleanup(execute, url, f"DROP OWNED BY {role}")
        self.environ["DATABASE_URL"] = as_role(url, role)
        self.assert_fault("rights", VERSION_TABLE, "2-rights.sql")
        execute(url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        execute(url, f"GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
        execute(url, f"REVOKE UPDATE, DELETE ON jobs FROM {role}")
        self.assert_fault(
            "rights",
            f"{role} lacks: {FORGET} (EXECUTE), event_seq (USAGE), job_order (USAGE), jobs (UPDATE, DELETE)",
            "2-rights.sql",
        )
        execute(url, f"GRANT UPDATE, DELETE ON jobs TO {role}; {SEQUENCES_TO} {role}")
        self.assertEqual(self.check()[0], 0)

    def test_too_few_connections(self) -> None:
        """A pool larger than what the database allows, and the largest one that fits."""
        role = f"check_{uuid.uuid4().hex}"
        url = self.use_database()
        execute(
            url, f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 9; GRANT pg_read_all_data, pg_write_all_data TO {role}"
        )
        execute(url, f"{SEQUENCES_TO} {role}")
        self.addCleanup(execute, server_url(), f"DROP ROLE {role}")
        self.addCleanup(execute, url, f"DROP OWNED BY {role}")
        self.environ |= {"DATABASE_URL": as_role(url, role), "DATABASE_CONNECTION_POOL": "7"}
        self.assert_fault("connections", "up to 12", "allows 9", "DATABASE_CONNECTION_POOL to 4")
        self.environ["DATABASE_CONNECTION_POOL"] = "4"
        self.assertEqual(self.check()[0], 0)

    def test_how_to_be_let_in(self) -> None:
        """Each reason of a refused connection has its own remedy."""
        role = f"check_{uuid.uuid4().hex}"
        url = self.use_database()
        self.environ["DATABASE_URL"] = as_role(url, role)
        self.assert_fault("database", f'role "{role}" does not exist', "1-roles.sql")
        execute(url, f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")
        self.addCleanup(execute, server_url(), f"DROP ROLE {role}")
        self.assert_fault("database", "too many connections", "pg_stat_activity", "DATABASE_CONNECTION_POOL")

    def test_embedded_database(self) -> None:
        """The embedded database is fine before it exists, and is not created; then it is inspected."""
        state = self.directory / "state"
        self.environ["COPILOT_STATE_DIR"] = str(state)
        status, findings = self.check()
        self.assertEqual(status, 0)
        self.assertIn("will be made", findings["database"]["detail"])
        self.assertIn("will be made", findings["secret key"]["detail"])
        self.assertFalse(state.exists())
        server = EmbeddedPostgres(state, FAST)
        self.addCleanup(server.stop, only_if_unused=False)
        server.start()
        self.assertIn("will be upgraded", self.check()[1]["schema"]["detail"])
        self.assertIsNotNone(server.pid())
        server.stop()
        self.assertEqual(self.check()[0], 0)
        self.assertIsNone(server.pid())
        keys_in_use(state, ())
        self.assertIn(str(state / "secret-key"), self.check()[1]["secret key"]["detail"])
        (state / "secret-key").chmod(0o644)
        self.assert_fault("secret key", "chmod 600")

    def test_embedded_database_impossible(self) -> None:
        """An embedded database that cannot be used is reported with a remedy."""
        shared = self.directory / "shared"
        shared.mkdir()
        (shared / "postgres").mkdir()
        (shared / "postgres" / "PG_VERSION").write_text("9\n")
        self.environ["COPILOT_STATE_DIR"] = str(shared)
        self.assert_fault("database", "PostgreSQL 9", "COPILOT_STATE_DIR")

    def test_live_socket(self) -> None:
        """A listening node is not a fault, nor is then its HTTP port in use."""
        self.use_database()
        with socket.socket(socket.AF_UNIX) as listener, socket.socket() as taken:
            listener.bind(self.socket_path)
            listener.listen()
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.environ["COPILOT_HTTP_PORT"] = str(taken.getsockname()[1])
            status, findings = self.check()
        self.assertEqual(status, 0)
        self.assertIn("a node is listening", findings["socket"]["detail"])
        self.assertNotIn("HTTP port", findings)

    def test_stale_socket(self) -> None:
        """A stale socket is not a fault."""
        self.use_database()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.socket_path)
        status, findings = self.check()
        self.assertEqual(status, 0)
        self.assertIn("left by a node that died", findings["socket"]["detail"])

    def test_socket_path_is_something_else(self) -> None:
        """A regular file at the socket's path is never removed, so it is a fault."""
        self.use_database()
        Path(self.socket_path).touch()
        self.assert_fault("socket", "not a socket", "SOCKET_PATH")

    def test_socket_directory(self) -> None:
        """A missing directory will be made; one below a file, or not ours to write to, is a fault."""
        self.use_database()
        self.environ["SOCKET_PATH"] = str(self.directory / "a" / "b" / "s")
        self.assertIn("will be made", self.check()[1]["socket"]["detail"])
        (self.directory / "file").touch()
        self.environ["SOCKET_PATH"] = str(self.directory / "file" / "s")
        self.assert_fault("socket", "is not a directory", "SOCKET_PATH")
        self.environ["SOCKET_PATH"] = self.socket_path
        self.environ["COPILOT_HTTP_TOKEN"] = "a-token"
        self.patch(os, "access", lambda path, mode: False)
        self.assert_fault("socket", "no right to write", "SOCKET_PATH", f"-m 755 {self.directory}`")

    def test_taken_port(self) -> None:
        """An HTTP port that another program has is a fault when no node runs here."""
        self.use_database()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.environ["COPILOT_HTTP_PORT"] = str(taken.getsockname()[1])
            self.assert_fault("HTTP port", "in use", "COPILOT_HTTP_PORT")

    def test_log_files(self) -> None:
        """Log files that can be created are fine, and are not created; each of the others is a fault."""
        self.use_database()
        paths = {"SOCKET_LOG_FILE": self.directory / "log", "SOCKET_ERROR_LOG_FILE": self.directory / "errors"}
        self.environ |= {name: str(path) for name, path in paths.items()}
        status, findings = self.check()
        self.assertEqual((status, [findings[name]["detail"] for name in paths]), (0, list(map(str, paths.values()))))
        self.assertFalse(any(path.exists() for path in paths.values()))
        self.environ["SOCKET_LOG_FILE"] = str(self.directory / "nowhere" / "log")
        self.assert_fault("SOCKET_LOG_FILE", f"there is no directory {self.directory / 'nowhere'}", "SOCKET_LOG_FILE")
        self.environ["SOCKET_LOG_FILE"] = str(self.directory)
        self.assert_fault("SOCKET_LOG_FILE", "is a directory")
