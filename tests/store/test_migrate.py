"""Migrations: the mechanism with sample steps, and the real steps once, on a real database."""

import shutil
import uuid
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.store import migrate
from copilot_socket.store.migrate import SchemaError, SchemaState, Standing
from tests.support.acts import ACT
from tests.support.postgres import drop_database, execute, fresh_database, name_of, with_database
from tests.support.revisions import upgraded_at_once

STEP = """
from copilot_socket.store.migrations import run_sql_beside

revision = {name!r}
down_revision = {previous!r}


def upgrade() -> None:
    run_sql_beside(__file__)
"""


class MigrateTests(SynchronousTestCase):
    """Each test has an empty database and a directory of steps of its own."""

    def setUp(self) -> None:
        """Write the first step, whose SQL contains text that could be taken for parameters."""
        self.url = fresh_database(migrated=False)
        self.addCleanup(drop_database, self.url)
        self.directory = Path(self.mktemp()) / "100% steps"
        (self.directory / "versions").mkdir(parents=True)
        shutil.copy(migrate.MIGRATIONS / "env.py", self.directory)
        self.add_step("0001_first", None, "CREATE TABLE first AS SELECT '100%s :name %%'::text AS words;")

    def add_step(self, name: str, previous: str | None, sql: str) -> None:
        """Write a step to the directory."""
        versions = self.directory / "versions"
        (versions / f"{name}.py").write_text(STEP.format(name=name, previous=previous))
        (versions / f"{name}.sql").write_text(sql)

    def upgrade(self) -> SchemaState:
        """Upgrade by the steps of the directory."""
        return migrate.require_current(self.url, upgrade=True, directory=self.directory)

    def state(self) -> SchemaState:
        """The standing of the database."""
        return migrate.check(self.url, self.directory)

    def test_from_nothing(self) -> None:
        """An empty database gets every step; its standing is reported before and after."""
        self.assertEqual(self.state(), SchemaState(Standing.EMPTY, None, "0001_first"))
        self.assertEqual(self.upgrade().standing, Standing.EMPTY)
        self.assertEqual(self.state(), SchemaState(Standing.UP_TO_DATE, "0001_first", "0001_first"))
        self.assertEqual(migrate.check(self.url).current, "0001_first")

    def test_verbatim(self) -> None:
        """Per cent signs and colons in the SQL are literal."""
        self.upgrade()
        execute(self.url, "SELECT 1 / (words = '100%s :name %%')::int FROM first")

    def test_only_what_is_missing(self) -> None:
        """A database that is behind gets the later steps only; a second upgrade finds nothing to do."""
        self.upgrade()
        self.add_step("0002_second", "0001_first", "CREATE TABLE second (); CREATE TABLE third ();")
        self.assertEqual(self.state(), SchemaState(Standing.BEHIND, "0001_first", "0002_second"))
        self.assertEqual(self.upgrade().standing, Standing.BEHIND)
        execute(self.url, "TABLE third")
        self.assertEqual(self.upgrade().standing, Standing.UP_TO_DATE)

    def test_all_or_nothing(self) -> None:
        """A failed step rolls back those before it; the error contains that of PostgreSQL."""
        self.add_step("0002_second", "0001_first", "CREATE TABLE second (); SELECT no_such_thing;")
        error = self.assertRaises(SchemaError, self.upgrade)
        self.assertIn("no_such_thing", str(error))
        self.assertEqual(self.state().standing, Standing.EMPTY)

    def test_ahead(self) -> None:
        """A database of a newer version is refused and unchanged; the error says to upgrade copilot-socket."""
        self.add_step("0002_second", "0001_first", "CREATE TABLE second ();")
        self.upgrade()
        for path in (self.directory / "versions").glob("0002*"):
            path.unlink()
        self.assertEqual(self.state(), SchemaState(Standing.AHEAD, "0002_second", "0001_first"))
        for attempt in (
            self.upgrade,
            lambda: migrate.require_current(self.url, upgrade=False, directory=self.directory),
        ):
            self.assertIn("upgrade copilot-socket", str(self.assertRaises(SchemaError, attempt)))
        self.assertEqual(migrate.check(self.url).current, "0002_second")

    def test_required_without_upgrade(self) -> None:
        """A database that is empty or behind is refused with the command to run."""

        def require() -> SchemaState:
            return migrate.require_current(self.url, upgrade=False, directory=self.directory)

        empty = str(self.assertRaises(SchemaError, require))
        self.upgrade()
        self.assertEqual(require().standing, Standing.UP_TO_DATE)
        self.add_step("0002_second", "0001_first", "CREATE TABLE second ();")
        behind = str(self.assertRaises(SchemaError, require))
        for message in (empty, behind):
            self.assertIn("run `copilot-socket migrate`", message)
        self.assertIn("0001_first", behind)

    def test_required_with_upgrade(self) -> None:
        """With *upgrade*, the database is upgraded."""
        self.assertEqual(self.upgrade().standing, Standing.EMPTY)
        self.assertEqual(self.state().standing, Standing.UP_TO_DATE)

    def test_two_at_once(self) -> None:
        """Of concurrent upgrades one does it, and none fails."""
        self.add_step("0002_second", "0001_first", "SELECT pg_sleep(0.05); CREATE TABLE second ();")
        found = upgraded_at_once(3, self.url, self.directory)
        self.assertCountEqual(found, [Standing.EMPTY, Standing.UP_TO_DATE, Standing.UP_TO_DATE])

    def test_out_of_reach(self) -> None:
        """The error for an unreachable database is one line, without the password."""
        url = "postgresql://someone:hush@127.0.0.1:1/none"
        for function in (
            migrate.check,
            lambda url: migrate.upgrade(url, ACT),
            lambda url: migrate.require_current(url, upgrade=True),
        ):
            message = str(self.assertRaises(SchemaError, function, url))
            self.assertIn("cannot connect", message)
            self.assertNotIn("hush", message)
            self.assertNotIn("\n", message)

    def test_old_server(self) -> None:
        """A PostgreSQL that is too old is refused before anything is changed."""
        self.patch(migrate, "OLDEST_SERVER", 99)
        for function in (
            migrate.check,
            lambda url: migrate.upgrade(url, ACT),
            lambda url: migrate.require_current(url, upgrade=True),
        ):
            self.assertIn("99 or newer", str(self.assertRaises(SchemaError, function, self.url)))
        self.patch(migrate, "OLDEST_SERVER", 14)
        self.assertIsNone(migrate.check(self.url).current)

    def test_encoding(self) -> None:
        """A database that is not in UTF-8 is refused, and unchanged."""
        other = with_database(self.url, f"latin1_{uuid.uuid4().hex}")
        execute(self.url, f'CREATE DATABASE "{name_of(other)}" TEMPLATE template0 ENCODING LATIN1 LOCALE "C"')
        self.addCleanup(drop_database, other)
        for function in (
            migrate.check,
            lambda url: migrate.upgrade(url, ACT),
            lambda url: migrate.require_current(url, upgrade=True),
        ):
            self.assertIn("encoded in LATIN1", str(self.assertRaises(SchemaError, function, other)))
        execute(other, "SELECT 1 / (to_regclass('jobs') IS NULL)::int")


class OurStepsTests(SynchronousTestCase):
    """The real steps."""

    def test_one_line_of_steps(self) -> None:
        """Alembic orders the steps by file name; each has the name of its file, and its SQL."""
        config = Config()
        config.set_main_option("script_location", str(migrate.MIGRATIONS).replace("%", "%%"))
        steps = [step.revision for step in ScriptDirectory.from_config(config).walk_revisions()]
        self.assertEqual(list(reversed(steps)), migrate.revisions())
        self.assertEqual(steps[0], migrate.head())
        for step in steps:
            self.assertTrue((migrate.MIGRATIONS / "versions" / f"{step}.sql").is_file())

    def test_they_run(self) -> None:
        """An empty database is upgraded to the newest revision."""
        url = fresh_database(migrated=False)
        self.addCleanup(drop_database, url)
        migrate.upgrade(url, ACT)
        self.assertEqual(migrate.check(url).standing, Standing.UP_TO_DATE)
