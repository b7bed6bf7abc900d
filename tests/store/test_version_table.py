"""The version table: its own one, in the place of one that other programs use as well."""

import uuid
from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.store import migrate, version_table
from copilot_socket.store.migrate import RightsError, SchemaError, Standing
from tests.support.acts import ACT
from tests.support.postgres import (
    admin,
    as_role,
    drop_database,
    execute,
    fresh_database,
    name_of,
    server_url,
    with_search_path,
)
from tests.support.revisions import upgrade_to, upgraded_at_once


class VersionTableTests(SynchronousTestCase):
    """Each test has a database of its own."""

    def setUp(self) -> None:
        """Make an empty database."""
        self.url = fresh_database(migrated=False)
        self.addCleanup(drop_database, self.url)

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """The rows of a statement."""
        with admin(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def role(self) -> str:
        """A new role that may use the schema public."""
        role = f"versions_{uuid.uuid4().hex}"
        execute(self.url, f"CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role}")
        self.addCleanup(execute, server_url(), f"DROP ROLE {role}")
        self.addCleanup(execute, self.url, f"DROP OWNED BY {role}")
        return role

    def foreign(self, revision: str = "a1b2c3d4") -> None:
        """Make the version table of another program's Alembic."""
        execute(
            self.url,
            "CREATE TABLE IF NOT EXISTS alembic_version (version_num varchar(32) PRIMARY KEY);"
            f"INSERT INTO alembic_version VALUES ('{revision}')",
        )

    def assert_ours(self) -> None:
        """The version table holds the newest revision."""
        self.assertEqual(self.query("SELECT version_num FROM copilot_socket_version"), [(migrate.head(),)])
        self.assertEqual(migrate.check(self.url).standing, Standing.UP_TO_DATE)
        self.assertEqual(migrate.upgrade(self.url, ACT).standing, Standing.UP_TO_DATE)

    def test_beside_another_alembic(self) -> None:
        """Another program's table is ignored, and unchanged."""
        self.foreign()
        self.assertEqual(migrate.check(self.url).standing, Standing.EMPTY)
        self.assertEqual(migrate.upgrade(self.url, ACT).standing, Standing.EMPTY)
        self.assertEqual(self.query("TABLE alembic_version"), [("a1b2c3d4",)])
        self.assert_ours()

    def test_what_nobody_else_uses_is_renamed(self) -> None:
        """The table of an older installation is renamed, and keeps its rights."""
        upgrade_to(self.url, "0004")
        role = self.role()
        execute(self.url, f"GRANT SELECT ON alembic_version TO {role}")
        state = migrate.check(self.url)
        self.assertEqual((state.standing, state.current), (Standing.BEHIND, "0004_reserve"))
        with self.assertRaisesRegex(SchemaError, "is at revision 0004_reserve"):
            migrate.require_current(self.url, upgrade=False)
        self.assertEqual(migrate.upgrade(self.url, ACT).current, "0004_reserve")
        self.assertEqual(self.query("SELECT to_regclass('alembic_version')"), [(None,)])
        self.assertEqual(migrate.check(as_role(self.url, role)).standing, Standing.UP_TO_DATE)
        self.assert_ours()

    def test_shared_with_another_alembic(self) -> None:
        """Only the row of copilot-socket is moved from a shared table."""
        upgrade_to(self.url, "0004")
        self.foreign()
        self.assertEqual(migrate.check(self.url).current, "0004_reserve")
        migrate.upgrade(self.url, ACT)
        self.assertEqual(self.query("TABLE alembic_version"), [("a1b2c3d4",)])
        self.assert_ours()

    def test_of_another_owner(self) -> None:
        """A table of another owner stays, without the row of copilot-socket."""
        upgrade_to(self.url, "0004")
        execute(self.url, f"ALTER TABLE alembic_version OWNER TO {self.role()}")
        migrate.upgrade(self.url, ACT)
        self.assertEqual(self.query("TABLE alembic_version"), [])
        self.assert_ours()

    def test_in_another_schema(self) -> None:
        """Where tables and version were in different schemas, the new table is in that of the tables."""
        self.foreign()
        execute(self.url, "CREATE SCHEMA crawling; DELETE FROM alembic_version")
        url, public = with_search_path(self.url, "crawling,public"), self.url
        upgrade_to(url, "0004")
        self.foreign()
        self.assertEqual(self.query("SELECT count(*)::int FROM public.alembic_version"), [(2,)])
        migrate.upgrade(url, ACT)
        self.assertEqual(self.query("TABLE public.alembic_version"), [("a1b2c3d4",)])
        self.assertEqual(self.query("TABLE crawling.copilot_socket_version"), [(migrate.head(),)])
        self.assertEqual(migrate.check(public).standing, Standing.EMPTY)

    def test_that_may_not_be_read(self) -> None:
        """Another program's table need not be readable; that of copilot-socket must be."""
        role = self.role()
        self.foreign()
        self.assertEqual(migrate.check(as_role(self.url, role)).standing, Standing.EMPTY)
        migrate.upgrade(self.url, ACT)
        with self.assertRaisesRegex(RightsError, "copilot_socket_version"):
            migrate.check(as_role(self.url, role))

    def test_read_during_an_upgrade(self) -> None:
        """A table that is moved between the look at its name and the reading of it is found where it is then."""
        upgrade_to(self.url, "0004")
        former = version_table._former

        def overtaken(connection: Any, ours: Sequence[str]) -> Any:
            self.patch(version_table, "_former", former)
            migrate.upgrade(self.url, ACT)
            with connection.cursor() as cursor:
                cursor.execute("SELECT version_num FROM alembic_version")

        self.patch(version_table, "_former", overtaken)
        self.assertEqual(migrate.check(self.url).standing, Standing.UP_TO_DATE)

    def test_two_at_once(self) -> None:
        """Of concurrent upgrades one does it and none fails, whatever the default isolation."""
        upgrade_to(self.url, "0004")
        setting = "default_transaction_isolation = 'serializable'"
        execute(self.url, f'ALTER DATABASE "{name_of(self.url)}" SET {setting}')
        found = upgraded_at_once(3, self.url)
        self.assertCountEqual(found, [Standing.BEHIND, Standing.UP_TO_DATE, Standing.UP_TO_DATE])
        self.assert_ours()
