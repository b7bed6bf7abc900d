"""`copilot-socket migrate`."""

import shutil

from copilot_socket.store import migrate
from copilot_socket.store.embedded import EmbeddedPostgres
from tests.cli.support import CommandTestCase
from tests.support.postgres import drop_database, execute, fresh_database, reachable_directory
from tests.support.revisions import upgrade_to


class MigrateTests(CommandTestCase):
    """With DATABASE_URL and without."""

    def test_database_url(self) -> None:
        """The tables are made; a second time there is nothing to do."""
        url = fresh_database(migrated=False)
        self.addCleanup(drop_database, url)
        self.environ["DATABASE_URL"] = url
        first = self.run_command("migrate")
        self.assertEqual((first.status, first.errors), (0, ""))
        self.assertIn(migrate.head(), first.output)
        self.assertEqual(migrate.check(url).standing, migrate.Standing.UP_TO_DATE)
        second = self.run_command("migrate")
        self.assertEqual(second.status, 0)
        self.assertIn("nothing to do", second.output)
        self.assertEqual(
            self.run_command("migrate", "--json").answer,
            {"before": migrate.head(), "now": migrate.head(), "notices": []},
        )

    def test_what_is_repaired(self) -> None:
        """Rows that only earlier versions accepted are repaired, and that is reported."""
        url = fresh_database(migrated=False)
        self.addCleanup(drop_database, url)
        upgrade_to(url, "0004")
        execute(url, "INSERT INTO areas (full_path, name, type, created_at) VALUES ('g', 'g', 'group', 'infinity')")
        output = self.run_command("migrate", "--database-url", url).output
        self.assertIn("areas.created_at: changed in 1 row(s)", output)
        self.assertIn("(before: 0004_reserve)", output)

    def test_option(self) -> None:
        """--database-url beats the environment."""
        url = fresh_database(migrated=False)
        self.addCleanup(drop_database, url)
        self.environ["DATABASE_URL"] = "postgresql://127.0.0.1:1/none"
        self.assertEqual(self.run_command("migrate", "--database-url", url).status, 0)
        self.assertEqual(migrate.check(url).current, migrate.head())

    def test_embedded(self) -> None:
        """Without DATABASE_URL the embedded database is made, migrated, and stopped again."""
        directory = reachable_directory()
        self.addCleanup(shutil.rmtree, directory)
        self.environ["COPILOT_STATE_DIR"] = str(directory)
        outcome = self.run_command("migrate", "--json")
        self.assertEqual(outcome.answer, {"before": None, "now": migrate.head(), "notices": []})
        self.assertIsNone(EmbeddedPostgres(directory).pid())

    def test_ahead(self) -> None:
        """A database that is ahead is status 1, and the message says to upgrade copilot-socket."""
        url = fresh_database()
        self.addCleanup(drop_database, url)
        execute(url, "UPDATE copilot_socket_version SET version_num = '9999_later'")
        outcome = self.run_command("migrate", "--database-url", url)
        self.assertEqual((outcome.status, outcome.output), (1, ""))
        self.assertIn("upgrade copilot-socket", outcome.errors)

    def test_faults(self) -> None:
        """Every fault of the configuration is reported, and nothing is done."""
        self.environ.update({"SOCKET_MODE": "9", "PORT": "x"})
        outcome = self.run_command("migrate")
        self.assertEqual(outcome.status, 1)
        self.assertEqual(len(outcome.errors.splitlines()), 2)
        self.assertIn("SOCKET_MODE", outcome.errors)
        self.assertIn("PORT", outcome.errors)

    def test_unreachable(self) -> None:
        """An unreachable database is named without its password."""
        self.environ["DATABASE_URL"] = "postgresql://a:hush@127.0.0.1:1/none"
        outcome = self.run_command("migrate")
        self.assertEqual(outcome.status, 1)
        self.assertIn("cannot connect", outcome.errors)
        self.assertNotIn("hush", outcome.errors)
