"""EmbeddedPostgres: one PostgreSQL in a state directory, shared by the nodes of this machine."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import quote

import psycopg2
from twisted.logger import Logger

from copilot_socket.locks import LockError, Patience, Tell, exclusive
from copilot_socket.store.embedded import postmaster
from copilot_socket.store.embedded.account import Account, database_account, expected_account
from copilot_socket.store.embedded.binaries import Programs, packaged_programs, reachable_programs
from copilot_socket.store.embedded.directories import (
    make_owned,
    make_state_dir,
    refuse_closed_parents,
    remove_short,
    socket_directory,
)
from copilot_socket.store.embedded.errors import EmbeddedError
from copilot_socket.store.embedded.locks import Presence
from copilot_socket.store.embedded.nameless import with_a_name

DATABASE = "copilot"
SUPERUSER = "copilot"
_LOCK_PATIENCE = 330.0  # seconds; longer than the start of another node may take
_ORPHANS_PATIENCE = 10.0  # seconds for the backends of a killed server to exit
_ANSWER_PATIENCE = 60.0  # seconds for a running server to recover
_log = Logger("copilot_socket.store.embedded")
_LEAVING_PATIENCE = 1.0  # seconds for the server to notice closed connections
_RECOVERING = "the database system is "  # … starting up, in recovery mode, shutting down
_NO_SETTINGS: Mapping[str, str] = {}
# Connections are trusted, so only the database's own user (and root) may open the socket.
_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "autovacuum": "on",
    "jit": "off",  # statements are short: compiling them costs more than it saves
    "log_checkpoints": "off",
    # Failed statements, and details of errors, quote the values that were to be stored.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_line_prefix": "%m [%p] %a ",
    "cluster_name": "copilot",
}
_INITDB = (
    f"--username={SUPERUSER}",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)
_OTHER_CLIENTS = """
    SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


class EmbeddedPostgres:
    """A durable PostgreSQL with its data in `<state_dir>/postgres`, reached through a UNIX socket only.

    All methods block: call them before the reactor runs, or in a thread. `settings` override the server's.
    A server that runs already, of another node or left by a killed one, is used as it is. `tell` is called with a
    line about each long wait; by default that is logged.
    """

    def __init__(self, state_dir: Path, settings: Mapping[str, str] = _NO_SETTINGS, tell: Tell | None = None) -> None:
        self.state_dir = state_dir.absolute()
        self._tell: Tell = tell or (lambda text: _log.warn("{text}", text=text))
        self._settings = {**_SETTINGS, **settings}
        self._presence = Presence(self.state_dir / "postgres.users")

    @property
    def data_dir(self) -> Path:
        return self.state_dir / "postgres"

    @property
    def log_file(self) -> Path:
        return self.state_dir / "postgres.log"

    def exists(self) -> bool:
        """Whether the data directory has been initialised."""
        return (self.data_dir / "PG_VERSION").exists()

    def pid(self) -> int | None:
        """The pid of the server, None when it is not running."""
        found = postmaster.running(self.data_dir)
        return found.pid if found else None

    def preflight(self) -> None:
        """Raise EmbeddedError if `start` would fail, as far as can be found out without a change."""
        packaged_programs()
        refuse_closed_parents(self.state_dir, expected_account())

    def start(self) -> str:
        """Create the database if there is none, start the server if none runs; return the database's URL.

        Raises EmbeddedError. May be called again, for example after the server was killed.
        """
        account = database_account()
        make_state_dir(self.state_dir, account)
        try:
            with self._lock():
                found = self._answering(account)
                self._presence.enter()
                return _url(found.socket_dir or self.data_dir, DATABASE)
        except (LockError, OSError) as error:
            raise EmbeddedError(f"the embedded PostgreSQL in {self.state_dir} can't be used: {error}") from error

    def stop(self, only_if_unused: bool = True) -> bool:
        """Stop the server; return whether it is stopped now. Close your own connections first.

        With `only_if_unused` it keeps running while another node uses it or a client is connected.
        Raises EmbeddedError.
        """
        if not os.path.isdir(self.state_dir):  # noqa: PTH112 - Path.is_dir raises where it may not look
            return True
        try:
            with self._lock():
                self._presence.leave()
                found = postmaster.running(self.data_dir)
                if found is None:
                    return True
                if only_if_unused and (self._presence.others() or self._has_clients(found)):
                    return False
                postmaster.terminate(self.data_dir, self._tell)
                if found.socket_dir is not None:
                    remove_short(found.socket_dir, database_account())
                return True
        except (LockError, OSError) as error:
            raise EmbeddedError(f"the embedded PostgreSQL in {self.state_dir} can't be stopped: {error}") from error

    def _lock(self) -> AbstractContextManager[None]:
        return exclusive(self.state_dir / "postgres.lock", _LOCK_PATIENCE, self._tell)

    def _answering(self, account: Account) -> postmaster.PidFile:
        """Return a server that accepts connections and has the database; launch it if it does not run, or dies."""
        patience = Patience(_ANSWER_PATIENCE, self._tell, f"the PostgreSQL in {self.data_dir} to accept connections")
        while True:
            found = postmaster.wait_settled(self.data_dir, self._tell) or self._launch(account)
            try:
                _ensure_database(_url(found.socket_dir or self.data_dir, "postgres"))
            except psycopg2.OperationalError as error:
                alive = postmaster.running(self.data_dir) == found and _RECOVERING not in str(error)
                if alive or not patience.wait():
                    raise EmbeddedError(f"PostgreSQL runs but does not accept connections: {error}") from error
            else:
                return found

    def _has_clients(self, found: postmaster.PidFile) -> bool:
        try:
            connection = psycopg2.connect(_url(found.socket_dir or self.data_dir, "postgres"), connect_timeout=10)
        except psycopg2.OperationalError as error:
            raise EmbeddedError(f"can't find out which clients are connected to PostgreSQL: {error}") from error
        try:
            patience = Patience(_LEAVING_PATIENCE, self._tell, "clients to disconnect")
            with connection.cursor() as cursor:
                while True:
                    cursor.execute(_OTHER_CLIENTS)
                    [(count,)] = cursor.fetchall()
                    if count == 0:
                        return False
                    connection.rollback()  # the statistics are fixed within a transaction
                    if not patience.wait():
                        return True
        finally:
            connection.close()

    def _launch(self, account: Account) -> postmaster.PidFile:
        programs = reachable_programs(self.state_dir, account)
        if not self.exists():
            self._initialise(programs, account)
        self._refuse_foreign(programs, account)
        left_behind = postmaster.clear_remains(self.data_dir)
        if left_behind is not None:
            remove_short(left_behind, account)
        sockets = socket_directory(self.data_dir, account)
        quoted = str(sockets).replace('"', '""')
        settings = {**self._settings, "unix_socket_directories": f'"{quoted}"'}
        try:
            return self._launch_after_orphans(programs, settings, account)
        except EmbeddedError:
            remove_short(sockets, account)
            raise

    def _launch_after_orphans(
        self, programs: Programs, settings: Mapping[str, str], account: Account
    ) -> postmaster.PidFile:
        """Launch a server; repeat while backends of a killed one keep its shared memory, which PostgreSQL refuses."""
        patience = Patience(_ORPHANS_PATIENCE, self._tell, "the processes of a killed PostgreSQL to exit")
        while True:
            try:
                return postmaster.launch(programs, self.data_dir, settings, account, self.log_file, self._tell)
            except EmbeddedError as error:
                if "still in use" not in str(error) or not patience.wait(0.1):
                    raise

    def _initialise(self, programs: Programs, account: Account) -> None:
        """Create the data directory under another name, then rename: a partial one is never used."""
        partial = self.state_dir / "postgres.partial"
        shutil.rmtree(partial, ignore_errors=True)
        make_owned(partial, account)
        command = [programs["initdb"], f"--pgdata={partial}", *_INITDB]
        if self._settings["fsync"] == "off":
            command.append("--no-sync")
        with with_a_name(account) as options:
            result = subprocess.run(command, capture_output=True, text=True, check=False, **options)
        if result.returncode != 0:
            shutil.rmtree(partial, ignore_errors=True)
            raise EmbeddedError(f"the database could not be created:\n{result.stdout}{result.stderr}".strip())
        partial.rename(self.data_dir)

    def _refuse_foreign(self, programs: Programs, account: Account) -> None:
        version = (self.data_dir / "PG_VERSION").read_text().strip()
        if version != programs.major:
            raise EmbeddedError(
                f"the data in {self.data_dir} are of PostgreSQL {version}, the programs of {programs.version}: "
                "transfer them with pg_dump, or set COPILOT_STATE_DIR to a new directory"
            )
        owner = self.data_dir.stat().st_uid
        if owner != account.uid:
            raise EmbeddedError(
                f"the data in {self.data_dir} belong to user {owner}, PostgreSQL would run as {account.uid}: "
                "start as the user who created them, or set COPILOT_STATE_DIR to another directory"
            )


def _url(socket_dir: Path, database: str) -> str:
    host = quote(os.fsencode(socket_dir), safe="")
    return f"postgresql://{SUPERUSER}@/{database}?host={host}&port=5432"


def _ensure_database(admin_url: str) -> None:
    """Create the database if it is missing. Raises psycopg2.OperationalError when the server does not answer."""
    connection = psycopg2.connect(admin_url, connect_timeout=10)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(f'CREATE DATABASE "{DATABASE}"')
    finally:
        connection.close()
