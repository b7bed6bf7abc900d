"""A real PostgreSQL for tests: one server per process, a migrated template database, and a copy of it per test.

With COPILOT_TEST_DATABASE_URL, the URL of a superuser, the tests use that running server instead.
Without a server the tests fail; they are never skipped.
"""

import atexit
import contextlib
import os
import re
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from twisted.trial.unittest import SynchronousTestCase, TestCase

from copilot_socket.store import migrate
from copilot_socket.store.embedded import EmbeddedError, EmbeddedPostgres

_PREFIX = "copilot-test-postgres-"
_ROOM = 2 * 1024**3
"""Bytes that must be free in memory: several times what a server of the tests takes."""
_OURS = "COPILOT_TEST_DATABASE_URL"
# Tests kill processes, never the machine: what the kernel has is durable enough.
FAST: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "autovacuum": "off",
    "max_wal_size": "256MB",
}
NO_SPACE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file "base/5/16384": No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON write_probe FOR EACH ROW EXECUTE FUNCTION refuse()
"""
"""Makes a database refuse the probe's write as if its disk were full."""


def reachable_directory(prefix: str = "copilot-test-", preferred: Path | None = None) -> Path:
    """Make a short temporary directory for an embedded PostgreSQL, also as root. The caller removes it."""
    for parent in (preferred or Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):
        if all(directory.stat().st_mode & 0o001 for directory in [parent, *parent.parents]):
            directory = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            directory.chmod(0o711)
            return directory
    raise AssertionError("no temporary directory is accessible to other users: set TMPDIR")


def _place() -> Path:
    """Where servers keep their data: in memory if there is room, where a database is made in a tenth of the time."""
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM
    return memory if roomy else Path(tempfile.gettempdir())


def with_database(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    found = re.fullmatch(r"(postgres(?:ql)?://[^/?]*)(?:/[^?]*)?(\?.*)?", url)
    assert found is not None, "not a database URL"
    return f"{found[1]}/{name}{found[2] or ''}"


def as_role(url: str, role: str) -> str:
    """The URL of the same database for another role, which the tests' server accepts without a password."""
    return re.sub(r"^(postgres(?:ql)?://)(?:[^@/?]*@)?", rf"\g<1>{role}@", url)


def with_search_path(url: str, path: str) -> str:
    """The URL of the same database for sessions with this search_path, which contains no blanks."""
    return f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{path}"


def name_of(url: str) -> str:
    """The name of the database."""
    return urlsplit(url).path.removeprefix("/")


@contextlib.contextmanager
def admin(url: str) -> Iterator[Connection]:
    """A connection in autocommit mode, closed at the end."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()


def execute(url: str, statement: str) -> None:
    """Run one statement on a new connection."""
    with admin(url) as connection, connection.cursor() as cursor:
        cursor.execute(statement)


@cache
def server_url() -> str:
    """The superuser's URL of the server for this process, which the first call starts."""
    given = os.environ.get(_OURS)
    if given:
        return with_database(given, "postgres")
    _remove_abandoned()
    directory = reachable_directory(_PREFIX, _place())
    server = EmbeddedPostgres(directory, FAST)

    def remove() -> None:
        server.stop(only_if_unused=False)
        shutil.rmtree(directory, ignore_errors=True)

    atexit.register(remove)
    return with_database(server.start(), "postgres")


def _remove_abandoned() -> None:
    """Stop and remove the servers that killed test runs have left, never one in use."""
    for directory in [
        path for parent in (_place(), tempfile.gettempdir()) for path in Path(parent).glob(f"{_PREFIX}*")
    ]:
        with contextlib.suppress(FileNotFoundError, EmbeddedError):  # it is being removed by another process
            started = (directory / "postgres.users").exists()
            if started and directory.stat().st_uid == os.geteuid() and EmbeddedPostgres(directory).stop():
                shutil.rmtree(directory, ignore_errors=True)


@cache
def _template() -> str:
    """The name of a migrated, empty database."""
    url = _lasting("template0")
    migrate.require_current(url, upgrade=True)
    return name_of(url)


@cache
def _strategy() -> str:
    """The fastest way to copy the template: FILE_COPY, several times faster than WAL_LOG; since PostgreSQL 15."""
    with admin(server_url()) as connection:
        return " STRATEGY FILE_COPY" if connection.server_version >= 150000 else ""


def _create(template: str) -> str:
    name = f"copilot_test_{uuid.uuid4().hex}"
    execute(server_url(), f'CREATE DATABASE "{name}" ENCODING UTF8 TEMPLATE "{template}"{_strategy()}')
    return with_database(server_url(), name)


def _lasting(template: str) -> str:
    """The URL of a new database that is kept until this process ends."""
    url = _create(template)
    if os.environ.get(_OURS):
        atexit.register(drop_database, url)
    return url


class _Supply:
    """Creates the database of the next test, and drops that of the last one, while a test runs, in another thread.

    That takes a third of the time of most tests. What fails there is repeated between two tests: a test may have
    changed the user of this process for a while.
    """

    def __init__(self) -> None:
        self._beside = ThreadPoolExecutor(1)
        self._next = self._beside.submit(_create, _template())
        self._drops: dict[str, Future[None]] = {}

    def take(self) -> str:
        """A migrated, empty database. Raises the errors of creating it, and of dropping earlier ones."""
        for url in [url for url, drop in self._drops.items() if drop.done()]:
            if self._drops.pop(url).exception() is not None:
                drop_database(url)
        made, self._next = self._next, self._beside.submit(_create, _template())
        return made.result() if made.exception() is None else _create(_template())

    def drop(self, url: str) -> None:
        """Drop the database at *url* in the other thread."""
        self._drops[url] = self._beside.submit(drop_database, url)

    def close(self) -> None:
        """Drop the unused database; the other thread has ended by then."""
        if self._next.exception() is None:
            drop_database(self._next.result())


@cache
def _supply() -> _Supply:
    supply = _Supply()
    atexit.register(supply.close)
    return supply


def fresh_database(*, migrated: bool = True) -> str:
    """Create a database for one test and return its URL. The caller drops it."""
    return _supply().take() if migrated else _create("template0")


def drop_database(url: str) -> None:
    """Drop a database, and disconnect its clients."""
    name = name_of(url)
    execute(server_url(), f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@cache
def _made(make: Callable[[str], None]) -> str:
    """The name of a database that *make* has filled, given the URL of an empty one."""
    url = _lasting("template0")
    make(url)
    return name_of(url)


@cache
def _filled(statements: tuple[str, ...]) -> str:
    """The name of a migrated database in which *statements* were run."""
    url = _lasting(_template())
    for statement in statements:
        execute(url, statement)
    return name_of(url)


def copy_of(make: Callable[[str], None]) -> str:
    """Create a database for one test, as *make* fills an empty one, whose URL it is given; it is called once."""
    return _create(_made(make))


Rows = list[tuple[Any, ...]]


class _DatabaseMixin:
    """Gives each test a migrated database: `self.database_url`. It is dropped after the test's cleanups.

    ``fill``: statements that fill it. They are run once for all tests with the same ones, each of which gets a copy.
    """

    fill: tuple[str, ...] = ()
    database_url: str
    _connected: tuple[str, Connection] | None = None

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        self.database_url = _create(_filled(self.fill)) if self.fill else fresh_database()
        self.addCleanup(_supply().drop, self.database_url)  # type: ignore[attr-defined]
        self.addCleanup(self._disconnect)  # type: ignore[attr-defined]

    def query(self, statement: str, *parameters: object) -> Rows:
        """Run a statement, commit, and return its rows ([] without any). Blocks.

        The reactor's thread has one connection for all statements of a test, and a new one after it is lost; in other
        threads, each statement has its own.
        """
        if threading.current_thread() is not threading.main_thread():
            with admin(self.database_url) as connection:
                return _rows(connection, statement, parameters)
        if self._connected is not None and self._connected[0] == self.database_url:
            try:
                return _rows(self._connected[1], statement, parameters)
            except psycopg2.Error:
                if not self._connected[1].closed:
                    raise
        self._disconnect()
        connection = psycopg2.connect(self.database_url)
        connection.autocommit = True
        self._connected = (self.database_url, connection)
        return _rows(connection, statement, parameters)

    def _disconnect(self) -> None:
        if self._connected is not None:
            self._connected[1].close()
            self._connected = None


def _rows(connection: Connection, statement: str, parameters: Sequence[object]) -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


class DatabaseTestCase(_DatabaseMixin, TestCase):
    """For tests with Deferreds; a subclass's setUp calls super().setUp() first."""


class SynchronousDatabaseTestCase(_DatabaseMixin, SynchronousTestCase):
    """For tests without a reactor."""
