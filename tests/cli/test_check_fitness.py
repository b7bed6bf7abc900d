"""`copilot-socket check` of a reachable database with which a node can't work."""

from typing import Any

import psycopg2
from cryptography.fernet import Fernet

from copilot_socket.cli import database_inspection
from copilot_socket.core.vault import Vault, access_token
from tests.cli.support import CommandTestCase
from tests.support.postgres import NO_SPACE, drop_database, execute, fresh_database, reachable_directory, server_url


class FitnessTests(CommandTestCase):
    """Writing, and stored tokens."""

    def setUp(self) -> None:
        """A right configuration, on a migrated database."""
        super().setUp()
        self.url = fresh_database()
        self.addCleanup(drop_database, self.url)
        directory = reachable_directory("check-")
        self.addCleanup(directory.rmdir)
        self.environ |= {"SOCKET_PATH": str(directory / "s"), "COPILOT_HTTP_PORT": "0", "DATABASE_URL": self.url}

    def check(self) -> dict[str, dict[str, Any]]:
        """The findings by subject."""
        return {finding["subject"]: finding for finding in self.run_command("check", "--json").answer["findings"]}

    def assert_fault(self, subject: str, *words: str) -> None:
        """Only this finding is bad; its detail and remedy contain the words, also in the output for people."""
        findings = self.check()
        self.assertEqual([name for name, finding in findings.items() if not finding["good"]], [subject])
        outcome = self.run_command("check")
        self.assertEqual(outcome.status, 1)
        for word in words:
            self.assertIn(word, f"{findings[subject]['detail']} {findings[subject]['remedy']}")
            self.assertIn(word, outcome.output)

    def account(self, name: str, *keys: str) -> None:
        """An account whose token is encrypted with the first of *keys*."""
        stored = Vault(keys).encrypt("token", access_token(name, "http://gitlab.test"))
        execute(
            self.url,
            "INSERT INTO accounts (id, provider, gitlab_url, access_token) "
            f"VALUES ('{name}', 'gitlab-onprem', 'http://gitlab.test', '{stored}')",
        )

    def test_all_is_well(self) -> None:
        """The test write leaves nothing behind."""
        findings = self.check()
        self.assertTrue(findings["writing"]["good"] and findings["tokens"]["good"])
        with psycopg2.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM write_probe")
            self.assertEqual(cursor.fetchall(), [(0,)])

    def test_read_only(self) -> None:
        """A database that was made read-only, whether its tables are up to date or not."""
        name = self.url.rpartition("/")[2].partition("?")[0]
        execute(server_url(), f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        self.assert_fault("writing", "the database is read-only", "default_transaction_read_only = off")

    def test_full_disk(self) -> None:
        """A full disk is reported with PostgreSQL's message."""
        execute(self.url, NO_SPACE)
        self.assert_fault("writing", "disk full", "base/5/16384", "free space")

    def test_a_table_that_is_locked(self) -> None:
        """A lock does not block the command for ever."""
        self.patch(database_inspection, "_PATIENCE", 1)
        with psycopg2.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.execute("LOCK TABLE accounts")
            self.assert_fault("database", "statement timeout")

    def test_tokens(self) -> None:
        """Accounts whose tokens no key decrypts are counted, and named."""
        key, other = (Fernet.generate_key().decode() for _ in range(2))
        self.account("fine", other)
        for number in range(5):
            self.account(f"a{number}", key)
        self.environ["COPILOT_SECRET_KEY"] = other
        self.assert_fault(
            "tokens",
            "COPILOT_SECRET_KEY does not decrypt the stored tokens of 5 of 6 accounts: a0, a1, a2 and 2 more",
        )
        self.environ["COPILOT_SECRET_KEY"] = f"{other},{key}"
        self.assertEqual(self.check()["tokens"]["detail"], "those of 6 accounts can be read")
        del self.environ["COPILOT_SECRET_KEY"]
        self.assert_fault("tokens", "of 6 of 6 accounts", "/credential")

    def test_a_key_that_is_none(self) -> None:
        """A faulty key is reported as a fault of the variable; the tokens are not checked."""
        self.account("a", Fernet.generate_key().decode())
        self.environ["COPILOT_SECRET_KEY"] = "nonsense"
        self.assert_fault("configuration", "COPILOT_SECRET_KEY")
        self.assertNotIn("tokens", self.check())
