"""A real PostgreSQL for tests: one server a process, a migrated template, a clone of it a test.

COPILOT_TEST_DATABASE_URL, the URL of a superuser of a server that runs already, makes the tests use that one.
A server that cannot be had fails the tests; they are never skipped.
"""

import atexit
import contextlib
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from twisted.trial.unittest import SynchronousTestCase, TestCase

from copilot_socket.store import migrate
from copilot_socket.store.embedded import EmbeddedError, EmbeddedPostgres

_PREFIX = "copilot-test-postgres-"
_OURS = "COPILOT_TEST_DATABASE_URL"
# Tests end processes, not machines: what the kernel has is safe.
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
"""Makes a database behave as if its disk were full, for whoever tries a write beforehand."""


def reachable_directory(prefix: str = "copilot-test-") -> Path:
    """Make a short temporary directory in which an embedded PostgreSQL can live, as root too. Remove it yourself."""
    for parent in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):
        if all(directory.stat().st_mode & 0o001 for directory in [parent, *parent.parents]):
            directory = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            directory.chmod(0o711)
            return directory
    raise AssertionError("no temporary directory is open to other users: set TMPDIR")


def with_database(url: str, name: str) -> str:
    """The same server's URL with another database."""
    found = re.fullmatch(r"(postgres(?:ql)?://[^/?]*)(?:/[^?]*)?(\?.*)?", url)
    assert found is not None, "not a database URL"
    return f"{found[1]}/{name}{found[2] or ''}"


def as_role(url: str, role: str) -> str:
    """The same database's URL for another role, which the tests' server lets in without a password."""
    return re.sub(r"^(postgres(?:ql)?://)(?:[^@/?]*@)?", rf"\g<1>{role}@", url)


def with_search_path(url: str, path: str) -> str:
    """The same database's URL for sessions with this search_path, which has no blanks."""
    return f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{path}"


def name_of(url: str) -> str:
    """The name of the database."""
    return urlsplit(url).path.removeprefix("/")


@contextlib.contextmanager
def admin(url: str) -> Iterator[Connection]:
    """An autocommitting connection, closed at the end."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()


def execute(url: str, statement: str) -> None:
    """Run one statement on a connection of its own."""
    with admin(url) as connection, connection.cursor() as cursor:
        cursor.execute(statement)


@cache
def server_url() -> str:
    """The superuser's URL of the server that this process tests on; started at the first call."""
    given = os.environ.get(_OURS)
    if given:
        return with_database(given, "postgres")
    _remove_abandoned()
    directory = reachable_directory(_PREFIX)
    server = EmbeddedPostgres(directory, FAST)

    def remove() -> None:
        server.stop(only_if_unused=False)
        shutil.rmtree(directory, ignore_errors=True)

    atexit.register(remove)
    return with_database(server.start(), "postgres")


def _remove_abandoned() -> None:
    """Stop and remove what killed test runs left behind, never what a living one uses."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(FileNotFoundError, EmbeddedError):  # it goes away by itself just now
            started = (directory / "postgres.users").exists()
            if started and directory.stat().st_uid == os.geteuid() and EmbeddedPostgres(directory).stop():
                shutil.rmtree(directory, ignore_errors=True)


@cache
def _template() -> str:
    """The name of a database with our schema and nothing in it."""
    name = f"copilot_template_{os.getpid()}_{uuid.uuid4().hex[:8]}"
    execute(server_url(), f'CREATE DATABASE "{name}" ENCODING UTF8 TEMPLATE template0')
    if os.environ.get(_OURS):
        atexit.register(drop_database, with_database(server_url(), name))
    migrate.upgrade(with_database(server_url(), name))
    return name


@cache
def _strategy() -> str:
    """Copying the template's files is several times faster than logging them; a choice since PostgreSQL 15."""
    with admin(server_url()) as connection:
        return " STRATEGY FILE_COPY" if connection.server_version >= 150000 else ""


def _create(template: str) -> str:
    name = f"copilot_test_{uuid.uuid4().hex}"
    execute(server_url(), f'CREATE DATABASE "{name}" ENCODING UTF8 TEMPLATE "{template}"{_strategy()}')
    return with_database(server_url(), name)


class _Supply:
    """Makes the next test's database, and drops the last one's, while a test runs: that is a third of most tests.

    What fails beside a test is done again between two: a test may have this process be another user for a while.
    """

    def __init__(self) -> None:
        self._beside = ThreadPoolExecutor(1)
        self._next = self._beside.submit(_create, _template())
        self._drops: dict[str, Future[None]] = {}

    def take(self) -> str:
        """A migrated, empty database. Raises what making it or dropping earlier ones did."""
        for url in [url for url, drop in self._drops.items() if drop.done()]:
            if self._drops.pop(url).exception() is not None:
                drop_database(url)
        made, self._next = self._next, self._beside.submit(_create, _template())
        return made.result() if made.exception() is None else _create(_template())

    def drop(self, url: str) -> None:
        """Be done with the database at *url*."""
        self._drops[url] = self._beside.submit(drop_database, url)

    def close(self) -> None:
        """Drop the one that nobody took; by then the other thread has ended."""
        if self._next.exception() is None:
            drop_database(self._next.result())


@cache
def _supply() -> _Supply:
    supply = _Supply()
    atexit.register(supply.close)
    return supply


def fresh_database(*, migrated: bool = True) -> str:
    """Make a database of its own for one test and return its URL. Drop it yourself."""
    return _supply().take() if migrated else _create("template0")


def drop_database(url: str) -> None:
    """Drop a database, whoever is still connected."""
    name = name_of(url)
    execute(server_url(), f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


class _DatabaseMixin:
    """Gives each test a migrated, empty database: `self.database_url`. It is dropped after the test's cleanups."""

    database_url: str

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        self.database_url = fresh_database()
        self.addCleanup(_supply().drop, self.database_url)  # type: ignore[attr-defined]

    def query(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Run a statement on a connection of its own, commit, and return its rows ([] without any). Blocks."""
        with admin(self.database_url) as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []


class DatabaseTestCase(_DatabaseMixin, TestCase):
    """For tests with Deferreds; a subclass's setUp calls super().setUp() first."""


class SynchronousDatabaseTestCase(_DatabaseMixin, SynchronousTestCase):
    """For tests without a reactor."""
