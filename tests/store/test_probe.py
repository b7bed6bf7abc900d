"""Every state of a database that a node can't work with, on a real PostgreSQL."""

import os
import shutil
import signal
import socket
import uuid
from typing import Any

from cryptography.fernet import Fernet
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, capturedLogs, formatEvent

from copilot_socket.core.readiness import Unready
from copilot_socket.core.vault import Vault, access_token, refresh_token
from copilot_socket.store import migrate
from copilot_socket.store import probe as probe_module
from copilot_socket.store.connection import Limits
from copilot_socket.store.embedded import EmbeddedPostgres
from copilot_socket.store.outage import Outages
from copilot_socket.store.probe import ACCOUNTS, WRITE_EVERY, Probe
from tests.support.acts import ACT
from tests.support.crawler import reactor
from tests.support.postgres import (
    FAST,
    NO_SPACE,
    DatabaseTestCase,
    as_role,
    execute,
    reachable_directory,
    server_url,
)

Keys = tuple[str, ...]


class ProbeTestCase(DatabaseTestCase):
    """``await self.look()`` returns the cause, and the lines logged as errors."""

    def setUp(self) -> None:
        super().setUp()
        self.probe = self.make(self.database_url)

    def make(self, url: str, *keys: str) -> Probe:
        """A probe of the database at *url*."""
        probe = Probe(url, Vault(keys), Outages(reactor), reactor, Limits())
        self.addCleanup(probe.close)
        return probe

    async def look(self, probe: Probe | None = None) -> tuple[Unready | None, list[str]]:
        """One look."""
        probe = probe or self.probe
        with capturedLogs() as events:
            await probe.look()
        return probe.cause, [formatEvent(event) for event in events if event["log_level"] >= LogLevel.error]

    async def looks(self, count: int) -> Unready | None:
        """Several."""
        for _ in range(count):
            await self.probe.look()
        return self.probe.cause


class StateTests(ProbeTestCase):
    """Sessions, tables and rights."""

    async def test_all_is_well(self) -> None:
        """There is no cause before the first look, and none after it."""
        self.assertEqual((self.probe.cause, self.probe.answers), (None, False))
        self.assertEqual(await self.look(), (None, []))
        self.assertTrue(self.probe.answers)

    async def test_writing(self) -> None:
        """Every few looks a new page is written; the row is rolled back."""
        sizes = []
        for _ in range(2 * WRITE_EVERY + 1):
            self.assertEqual(await self.look(), (None, []))
            [(size, rows)] = self.query(
                "SELECT pg_relation_size('write_probe')::int / 8192, count(*) FROM write_probe"
            )
            sizes.append(size)
            self.assertEqual(rows, 0)
        self.assertEqual(sizes, [1] * WRITE_EVERY + [2] * WRITE_EVERY + [3])

    async def test_no_pages_without_end(self) -> None:
        """Where nothing frees the pages, their number is bounded."""
        self.query("INSERT INTO write_probe SELECT repeat('x', 8000) FROM generate_series(1, 64 * 128)")
        self.assertEqual(await self.look(), (None, []))
        self.assertEqual(self.query("SELECT pg_relation_size('write_probe') / 1048576"), [(64,)])

    async def test_nothing_in_the_log_of_changes(self) -> None:
        """The table is unlogged: a write costs the WAL some bytes, not a page."""
        self.assertEqual(self.query("SELECT relpersistence FROM pg_class WHERE relname = 'write_probe'"), [("u",)])

    async def test_read_only(self) -> None:
        """A read-only database answers, but is unfit; afterwards it is fit at the next look."""
        name = self.query("SELECT current_database()")[0][0]
        for setting in ("on", "off"):
            execute(server_url(), f'ALTER DATABASE "{name}" SET default_transaction_read_only = {setting}')
            self.probe.close()
            self.probe = self.make(self.database_url)
            cause, lines = await self.look()
            expected = [] if setting == "off" else ["The database is read-only: transaction_read_only is on"]
            self.assertEqual((cause, lines), (Unready.READ_ONLY if setting == "on" else None, expected))
            self.assertTrue(self.probe.answers)

    async def test_full_disk(self) -> None:
        """A full disk is found at the next write; its end at the next look."""
        await self.look()
        self.query(NO_SPACE)
        self.assertIs(await self.looks(WRITE_EVERY - 1), None)
        cause, lines = await self.look()
        self.assertIs(cause, Unready.DISK_FULL)
        self.assertEqual(len(lines), 1)
        self.assertIn("Disk full: PostgreSQL has no space left: could not extend file", lines[0])
        self.assertEqual(await self.look(), (Unready.DISK_FULL, []), "logged once")
        self.query("DROP TRIGGER refuse ON write_probe")
        self.assertEqual(await self.look(), (None, []))

    async def test_tables(self) -> None:
        """A missing table is named in the log."""
        await self.look()
        self.query("ALTER TABLE idempotency_keys RENAME TO gone")
        self.assertIs(await self.looks(WRITE_EVERY), Unready.TABLES)
        self.query("ALTER TABLE gone RENAME TO idempotency_keys; ALTER TABLE write_probe RENAME TO gone")
        probe = self.make(self.database_url)
        self.assertEqual(
            await self.look(probe), (Unready.TABLES, ["Tables or columns of the database are missing: write_probe"])
        )

    async def test_rights(self) -> None:
        """Revoked rights are named in the log; once they are granted again the database is fit."""
        role = f"probe_{uuid.uuid4().hex}"
        self.query(
            f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SEQUENCE event_seq, job_order TO {role}; "
            f"GRANT EXECUTE ON FUNCTION copilot_forget_events TO {role}; "
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"
        )
        self.addCleanup(execute, server_url(), f"DROP ROLE {role}")
        self.addCleanup(self.query, f"DROP OWNED BY {role}")
        self.probe = self.make(as_role(self.database_url, role))
        self.assertEqual(await self.look(), (None, []))
        self.query(f"REVOKE UPDATE ON jobs FROM {role}")
        self.assertIs(await self.looks(WRITE_EVERY), Unready.RIGHTS)
        self.query(f"GRANT UPDATE ON jobs TO {role}")
        self.assertEqual(await self.look(), (None, []))

    async def test_whatever_else(self) -> None:
        """Any other error makes the database unfit, too."""
        self.query("ALTER TABLE write_probe ADD CHECK (payload <> repeat('x', 8000))")
        cause, lines = await self.look()
        self.assertIs(cause, Unready.REFUSES)
        self.assertIn("PostgreSQL refuses statements: new row for relation", lines[0])

    async def test_time_outs_of_its_own(self) -> None:
        """The time-out is set for the transaction only: behind a pooler others may use the session."""
        await self.looks(WRITE_EVERY + 1)
        left = await self.probe._connection.query("SHOW statement_timeout")
        self.assertEqual(left, [(f"{Limits().query:g}s",)])


class KeyTests(ProbeTestCase):
    """Tokens of accounts, and the keys of this node."""

    def setUp(self) -> None:
        super().setUp()
        self.key, self.other = (Fernet.generate_key().decode() for _ in range(2))

    def put(self, account: str, access: str | Keys, refresh: str | Keys | None = None) -> None:
        """Insert an account with these tokens: a plain one, or one that is encrypted with these keys."""
        url = "http://gitlab.test"
        stored = (access, access_token(account, url)), (refresh, refresh_token(account, url))
        self.query(
            "INSERT INTO accounts (id, provider, gitlab_url, access_token, refresh_token) "
            "VALUES (%s, 'gitlab-onprem', 'http://gitlab.test', %s, %s) "
            "ON CONFLICT (id) DO UPDATE SET access_token = excluded.access_token",
            account,
            *(Vault(text).encrypt("token", place) if isinstance(text, tuple) else text for text, place in stored),
        )

    async def test_the_right_keys(self) -> None:
        """Any of several keys may decrypt a token; a plain token needs none."""
        self.put("new", (self.key,), (self.other,))
        self.put("plain", "token")
        self.assertEqual(await self.look(self.make(self.database_url, self.other, self.key)), (None, []))

    async def test_a_wrong_key(self) -> None:
        """A wrong or missing key is logged with the account, once."""
        self.put("a", (self.key,))
        self.put("plain", "token")
        for keys in ((self.other,), ()):
            probe = self.make(self.database_url, *keys)
            cause, lines = await self.look(probe)
            self.assertIs(cause, Unready.SECRET_KEY)
            self.assertEqual(len(lines), 1)
            self.assertIn("COPILOT_SECRET_KEY does not decrypt the stored tokens of account a:", lines[0])
            self.assertEqual(await self.look(probe), (Unready.SECRET_KEY, []))
            self.assertTrue(probe.answers)

    async def test_a_refresh_token_only(self) -> None:
        """The refresh token is checked as well."""
        self.put("a", "token", (self.key,))
        self.assertIs((await self.look(self.make(self.database_url, self.other)))[0], Unready.SECRET_KEY)

    async def test_renewed(self) -> None:
        """Once the account has tokens of this key the database is fit, at the next look."""
        self.put("a", (self.key,))
        probe = self.make(self.database_url, self.other)
        await self.look(probe)
        self.put("a", (self.other,))
        self.assertEqual(await self.look(probe), (None, []))

    async def test_expired(self) -> None:
        """Tokens of expired credentials are not checked."""
        self.put("a", (self.key,))
        self.query("UPDATE accounts SET credential_status = 'expired'")
        self.assertEqual(await self.look(self.make(self.database_url, self.other)), (None, []))

    async def test_one_of_many(self) -> None:
        """An account with another key stops no node; it is found among many, and logged once."""
        for number in range(2 * ACCOUNTS + 5):
            self.put(f"{number:03}", (self.key,))
        self.put("010a", (self.other,))
        self.put("024a", (self.other,))
        probe = self.make(self.database_url, self.key)
        lines = [line for _ in range(7) for line in (await self.look(probe))[1]]
        self.assertIs(probe.cause, None)
        self.assertEqual([line.split()[9] for line in lines], ["010a:", "024a:"])


class ServerTests(ProbeTestCase):
    """A server of the test's own, which stops, hangs, or is a standby."""

    def setUp(self) -> None:
        super().setUp()
        directory = reachable_directory()
        self.postgres = EmbeddedPostgres(directory, FAST)
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.addCleanup(self.postgres.stop, only_if_unused=False)
        url = self.postgres.start()
        migrate.upgrade(url, ACT)
        self.probe = self.make(url)
        self.data = directory / "postgres"

    async def test_a_standby(self) -> None:
        """A standby answers, but is unfit."""
        self.postgres.stop(only_if_unused=False)
        (self.data / "standby.signal").touch()
        self.postgres.start()
        cause, lines = await self.look()
        self.assertEqual((cause, self.probe.answers), (Unready.STANDBY, True))
        self.assertEqual(lines, ["PostgreSQL is in recovery (a standby): pg_is_in_recovery() is true"])

    async def test_stopped(self) -> None:
        """A stopped server is unfit, and fit again after its start."""
        self.assertEqual(await self.look(), (None, []))
        self.postgres.stop(only_if_unused=False)
        causes = [(await self.look())[0] for _ in range(2)]
        self.assertEqual((causes, self.probe.answers), ([Unready.UNREACHABLE] * 2, False))
        self.postgres.start()
        self.assertEqual(await self.look(), (None, []))

    async def test_standing_still(self) -> None:
        """A hanging server is unfit; further looks use a new connection."""
        soon = self.patch(probe_module, "PATIENCE", 0.2)
        self.probe = self.make(self.probe._connection._dsn)
        await self.look()
        [(backend,)] = await self.probe._connection.query("SELECT pg_backend_pid()")
        os.kill(backend, signal.SIGSTOP)
        try:
            cause, lines = await self.look()
            self.assertEqual((cause, self.probe.answers), (Unready.NO_ANSWER, False))
            self.assertEqual(lines, ["The database does not answer: no answer within 0.2 s"])
            await deferLater(reactor, 0)  # the next look comes in another turn of the reactor
            soon.restore()
            self.assertEqual(await self.look(), (None, []))
        finally:
            os.kill(backend, signal.SIGCONT)


class SilenceTests(ProbeTestCase):
    """A listener that accepts connections and sends nothing."""

    async def test_while_connecting(self) -> None:
        """While connecting, the time limit holds as well."""
        self.patch(probe_module, "PATIENCE", 0.2)
        with socket.socket() as mute:
            mute.bind(("127.0.0.1", 0))
            mute.listen()
            probe = self.make(f"postgresql://a@127.0.0.1:{mute.getsockname()[1]}/d")
            self.assertEqual((await self.look(probe))[0], Unready.NO_ANSWER)

    async def test_a_lock(self) -> None:
        """A locked table delays a look for a limited time."""
        probe = self.make(self.database_url)
        await self.look(probe)
        soon = self.patch(probe_module, "PATIENCE", 0.2)

        async def locked(tx: Any) -> None:
            await tx.query("LOCK TABLE accounts")
            self.assertEqual((await self.look(probe))[0], Unready.NO_ANSWER)
            self.assertTrue(probe.answers)

        await self.probe._connection.transaction(locked)
        soon.restore()
        self.assertEqual(await self.look(probe), (None, []))

    async def test_the_end(self) -> None:
        """A look in progress when the node stops ends, and logs nothing."""
        looking = Deferred.fromCoroutine(self.look())
        self.probe.close()
        self.assertEqual((await looking)[1], [])
