"""Bringing a database's schema up to date, and telling whether it is. Everything here blocks."""

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

MIGRATIONS = Path(__file__).parent / "migrations"
OLDEST_SERVER = 14
APPLICATION_NAME = "copilot-study"
_CONNECT_TIMEOUT = 10  # seconds


class SchemaError(Exception):
    """The database cannot be worked with; the message names what mends it."""


class RightsError(SchemaError):
    """This role may not use the tables."""


class Standing(enum.Enum):
    """How a database's schema compares with ours."""

    UP_TO_DATE = "up to date"
    BEHIND = "behind"
    AHEAD = "ahead"
    EMPTY = "empty"


@attrs.frozen
class SchemaState:
    """`current` is the database's revision (None when empty), `head` is ours."""

    standing: Standing
    current: str | None
    head: str


def revisions(directory: Path = MIGRATIONS) -> list[str]:
    """All our revisions, oldest first. A revision is called as its file is."""
    return sorted(path.stem for path in (directory / "versions").glob("[0-9]*.py"))


def head(directory: Path = MIGRATIONS) -> str:
    """Our newest revision."""
    return revisions(directory)[-1]


def current(url: str) -> str | None:
    """The database's revision, None when it has none of ours. Raises SchemaError when it cannot be asked."""
    with _connected(url) as connection:
        return _current(connection)


def check(url: str, directory: Path = MIGRATIONS) -> SchemaState:
    """Compare the database's schema with ours. Raises SchemaError when the database cannot be asked."""
    return _compare(current(url), revisions(directory))


def upgrade(url: str, directory: Path = MIGRATIONS) -> SchemaState:
    """Bring the schema to our newest revision, in one transaction, and return how it stood before.

    Of several processes that upgrade at once one does it and the others wait and find it done. Raises
    SchemaError for a database that is ahead, too old or out of reach, and for statements that it refuses.
    """
    with _connected(url) as connection:
        _refuse_old_server(connection)
    return _upgrade(url, directory)


def require_current(url: str, upgrade: bool, directory: Path = MIGRATIONS) -> SchemaState:
    """Make sure that the schema is ours, with `upgrade` by upgrading it. Returns how it stood before.

    Raises SchemaError, whose message names the command that mends it.
    """
    with _connected(url) as connection:
        _refuse_old_server(connection)
        state = _compare(_current(connection), revisions(directory))
    if state.standing is Standing.UP_TO_DATE:
        return state
    if state.standing is Standing.AHEAD:
        raise _ahead(state)
    if not upgrade:
        stands = "has no tables yet" if state.current is None else f"is at revision {state.current}"
        raise SchemaError(f"the database {stands}, {state.head} is needed: run `copilot-socket migrate`")
    return _upgrade(url, directory)


def _ahead(state: SchemaState) -> SchemaError:
    return SchemaError(
        f"the database is at revision {state.current}, which this copilot-socket (newest: {state.head}) does not "
        "know: upgrade copilot-socket (pip install --upgrade copilot-socket)"
    )


def _compare(found: str | None, ours: list[str]) -> SchemaState:
    if found is None:
        standing = Standing.EMPTY
    elif found == ours[-1]:
        standing = Standing.UP_TO_DATE
    else:
        standing = Standing.BEHIND if found in ours else Standing.AHEAD
    return SchemaState(standing, found, ours[-1])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _connect(url: str) -> Connection:
    return psycopg2.connect(url, application_name=APPLICATION_NAME, connect_timeout=_CONNECT_TIMEOUT)


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    try:
        connection = _connect(url)
    except psycopg2.Error as error:
        raise SchemaError(f"cannot connect to the database: {_one_line(error)}") from error
    try:
        yield connection
    finally:
        connection.close()


def _current(connection: Connection) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('alembic_version')")
        if cursor.fetchone() == (None,):
            return None
        try:
            cursor.execute("SELECT version_num FROM alembic_version")
        except psycopg2.errors.InsufficientPrivilege as error:
            raise RightsError(
                f"{_one_line(error)} for {connection.info.user}: as the owner of the tables run "
                "`psql -f ops/postgres/2-rights.sql`"
            ) from error
        row = cursor.fetchone()
        return None if row is None else str(row[0])


def _refuse_old_server(connection: Connection) -> None:
    major = connection.server_version // 10000
    if major < OLDEST_SERVER:
        raise SchemaError(f"the database is PostgreSQL {major}: {OLDEST_SERVER} or newer is needed")


def _upgrade(url: str, directory: Path) -> SchemaState:
    from copilot_socket.store.migrations.runner import run  # noqa: PLC0415 - slow, and seldom needed

    states: list[SchemaState] = []

    def wanted(connection: Connection) -> bool:
        state = _compare(_current(connection), revisions(directory))
        if state.standing is Standing.AHEAD:
            raise _ahead(state)
        states.append(state)
        return state.standing is not Standing.UP_TO_DATE

    try:
        run(lambda: _connect(url), wanted, directory)
    except psycopg2.Error as error:
        raise SchemaError(f"the database refused a migration, nothing was changed: {_one_line(error)}") from error
    return states[0]
