"""What is recorded of commands that change the database themselves, and `copilot-socket audit`."""

import inspect
import io
import os
import pwd
import socket
import sys
from typing import Any

from cryptography.fernet import Fernet

from copilot_socket.cli import audit
from copilot_socket.cli.acts import act
from copilot_socket.cli.main import COMMANDS
from copilot_socket.store import migrate
from tests.cli.support import CommandTestCase, SiteCommandTestCase
from tests.support.postgres import SynchronousDatabaseTestCase, drop_database, execute, fresh_database
from tests.support.revisions import upgrade_to

GITLAB = "https://gitlab.example.org"
REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not recorded'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse()
"""
COMMAND_LINES: tuple[tuple[str, list[Any]], ...] = (
    ("seed", [("seed", "demo", {"account_created": True, "jobs": 2}, 1)]),
    ("seed", []),
    (f"oauth-clients put {GITLAB} --client-id one", [("oauth_client.put", GITLAB, {"client_id": "one"}, 1)]),
    ("oauth-clients list", []),
    (
        "keys rotate",
        [("keys.rotate", "accounts", {}, 1), ("keys.rotate", "oauth_clients", {}, 1)],
    ),
    (f"oauth-clients remove {GITLAB}", [("oauth_client.remove", GITLAB, {}, 1)]),
    (f"oauth-clients remove {GITLAB}", []),
    ("migrate", []),
)
TABLES = ("accounts", "jobs", "oauth_clients")


class CommandTests(SynchronousDatabaseTestCase, CommandTestCase):
    """Each of them; `copilot-socket cleanup` has tests of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.environ.update(DATABASE_URL=self.database_url, COPILOT_SECRET_KEY=Fernet.generate_key().decode())

    def run_it(self, line: str) -> int:
        """Run a command line; a secret is on standard input."""
        self.patch(sys, "stdin", io.StringIO("s3cret\n"))
        return self.run_command(*line.split()).status

    def test_rows(self) -> None:
        """What changes something leaves its rows, in the same transaction, with who it was and where."""
        user = f"cli:{pwd.getpwuid(os.getuid()).pw_name}({os.getuid()})"
        for line, expected in COMMAND_LINES:
            if line == "keys rotate":
                self.environ["COPILOT_SECRET_KEY"] = (
                    f"{Fernet.generate_key().decode()},{self.environ['COPILOT_SECRET_KEY']}"
                )
            if len(expected) == 1:  # of several, each is a transaction
                before = self.everything()
                self.query(REFUSE)
                self.assertEqual(self.run_it(line), 1, line)
                self.query("DROP FUNCTION refuse CASCADE")
                self.assertEqual(self.everything(), before, line)
            self.query("TRUNCATE audit_log")
            self.run_it(line)
            rows = self.query(
                "SELECT action, target, details, count, door, actor, address, outcome FROM audit_log ORDER BY id"
            )
            self.assertEqual(rows, [(*row, "cli", user, socket.gethostname(), "done") for row in expected], line)

    def everything(self) -> list[Any]:
        """What is in the tables that these commands change."""
        return [self.query(f"SELECT t::text FROM {table} t ORDER BY 1") for table in TABLES]

    def test_migrate(self) -> None:
        """From which revision to which, also where there was no such table."""
        for before in (None, "0015_owners"):
            url = fresh_database(migrated=False)
            self.addCleanup(drop_database, url)
            if before is not None:
                upgrade_to(url, before[:4])
            self.environ["DATABASE_URL"] = self.database_url = url
            self.assertEqual(self.run_it("migrate"), 0)
            rows = self.query("SELECT action, details FROM audit_log")
            self.assertEqual(rows, [("migrate", {"revision": [before, migrate.head()]})])

    def test_all_commands(self) -> None:
        """None that opens the database is forgotten."""
        for name, command in COMMANDS.items():
            source = inspect.getsource(command.load())
            if "ready_database(" in source or "migrate.upgrade(" in source:
                self.assertIn("act(", source, name)

    def test_who(self) -> None:
        """Whoever used sudo is told; a user without a name has a number."""
        self.environ["SUDO_USER"] = "alice\x1b"
        self.assertEqual(act("x", {"a": 1}).details, {"a": 1, "sudo_user": "alice\\x1b"})
        self.patch(os, "getuid", lambda: 4_000_000)
        self.assertEqual(act("x").actor.name, "cli:?(4000000)")


class ListTests(SiteCommandTestCase):
    """`copilot-socket audit` against a real site."""

    async def test_table(self) -> None:
        """One line for each row, with the details at the end; pages continue from a cursor."""
        self.assertEqual(len((await self.call(audit)).splitlines()), 1)
        execute(
            self.database_url,
            "INSERT INTO audit_log (timestamp, door, actor, address, action, target, outcome, count, details) VALUES"
            " ('2026-01-05 10:00:00.5Z', 'http', 'token:a', '::1', 'account.change', 'acme', 'done', 1,"
            """  '{"weight": [1, 5], "max_running": [3, null]}'),"""
            " ('2026-01-05 10:01:00Z', 'wire', 'uid:7', NULL, E'hello \x1b', NULL, 'refused', 9,"
            """  '{"reason": "no_token"}')""",
        )
        execute(
            self.database_url,
            "INSERT INTO audit_log (timestamp, door, actor, address, action, target, details) VALUES"
            " ('2026-01-05 10:02:00Z', 'http', E'token:a\n\u009b', 'http.sock', 'token.add', E'b\u202e',"
            """  '{"accounts": ["a", "b"]}')""",
        )
        lines = (await self.call(audit)).splitlines()
        self.assertEqual(
            lines[0].split(),
            ["timestamp", "actor", "action", "target", "outcome", "count", "details", "door", "address"],
        )
        self.assertEqual(
            [" ".join(line.split()) for line in lines[1:]],
            [
                r"2026-01-05T10:02:00Z token:a\n\x9b token.add b\u202e done 1 accounts: a, b http http.sock",
                "2026-01-05T10:01:00Z uid:7 hello \\x1b - refused 9 reason: no_token wire -",
                "2026-01-05T10:00:00Z token:a account.change acme done 1 weight: 1 → 5, max_running: 3 → - http ::1",
            ],
        )
        self.assertEqual(len((await self.call(audit, "--outcome", "refused", "--door", "wire")).splitlines()), 2)
        self.assertIn('"token:a"', await self.call(audit, "--json", "--before", "2026-01-05T10:00:30Z"))
        *_, more = (await self.call(audit, "--limit", "1")).splitlines()
        self.assertIn("token:a", await self.call(audit, "--cursor", more.removeprefix("more: --cursor ")))
