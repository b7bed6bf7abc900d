"""The revision of a database's schema, and its upgrade to the newest one. Everything here blocks."""

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from copilot_socket.core.acts import Act, columns
from copilot_socket.store import tls, version_table
from copilot_socket.store.sql import sql

MIGRATIONS = Path(__file__).parent / "migrations"
OLDEST_SERVER = 14
ENCODING = "UTF8"
APPLICATION_NAME = "copilot-study"
_CONNECT_TIMEOUT = 10  # seconds
# Settings that a role or a database may have changed. A migration may take long; of two concurrent upgrades the
# second must see the changes of the first; and the steps rely on standard_conforming_strings.
_SESSION = """
SET default_transaction_isolation = 'read committed'; SET standard_conforming_strings = on;
SET client_min_messages = notice; SET lock_timeout = 0; SET statement_timeout = 0;
SET idle_in_transaction_session_timeout = 0
"""
_OWN_SCHEMA = (
    "give copilot-socket a schema of its own (CREATE SCHEMA copilot), and name it in the database's URL "
    "(?options=-csearch_path%3Dcopilot)"
)


class SchemaError(Exception):
    """The database can't be used; the message names the remedy."""


class RightsError(SchemaError):
    """The role lacks rights on the tables."""


class Standing(enum.Enum):
    """How the schema of a database compares with the newest revision."""

    UP_TO_DATE = "up to date"
    BEHIND = "behind"
    AHEAD = "ahead"
    EMPTY = "empty"


@attrs.frozen
class SchemaState:
    """`current` is the database's revision (None when empty), `head` the newest one.

    `notices` are the messages of an upgrade about rows that it has repaired.
    """

    standing: Standing
    current: str | None
    head: str
    notices: tuple[str, ...] = ()


def revisions(directory: Path = MIGRATIONS) -> list[str]:
    """All revisions, oldest first. The name of a revision is that of its file."""
    return sorted(path.stem for path in (directory / "versions").glob("[0-9]*.py"))


def head(directory: Path = MIGRATIONS) -> str:
    """The newest revision."""
    return revisions(directory)[-1]


def check(url: str, directory: Path = MIGRATIONS) -> SchemaState:
    """Compare the database's schema with the newest revision.

    Raises SchemaError when the database can't be used, or search_path finds tables of other programs first.
    """
    with _connected(url) as connection:
        _refuse_unfit(connection)
        return _state(connection, directory)


def upgrade(url: str, act: Act) -> SchemaState:
    """Upgrade the schema to the newest revision, in one transaction, by *act*, and return its state before.

    Of several concurrent upgrades one runs the migrations, and the others wait for it. Raises SchemaError for a
    database that is ahead, too old, not in UTF-8 or unreachable, and for statements that it refuses.
    """
    with _connected(url) as connection:
        _refuse_unfit(connection)
    return _upgrade(url, MIGRATIONS, act)


def require_current(url: str, upgrade: bool, directory: Path = MIGRATIONS) -> SchemaState:
    """Require the schema to be up to date, with `upgrade` by upgrading it. Returns its state before.

    Raises SchemaError, whose message names the command to run.
    """
    with _connected(url) as connection:
        _refuse_unfit(connection)
        state = _state(connection, directory)
        others = version_table.elsewhere(connection) if state.standing is Standing.EMPTY else []
    if state.standing is Standing.UP_TO_DATE:
        return state
    if state.standing is Standing.AHEAD:
        raise _ahead(state)
    if not upgrade:
        found = "has no tables yet" if state.current is None else f"is at revision {state.current}"
        where = f" (search_path lacks the schema {', '.join(others)}, which has some)" if others else ""
        raise SchemaError(f"the database {found}{where}, {state.head} is needed: run `copilot-socket migrate`")
    return _upgrade(url, directory)


def _ahead(state: SchemaState) -> SchemaError:
    return SchemaError(
        f"the database is at revision {state.current}, which this copilot-socket (newest: {state.head}) does not "
        "know: upgrade copilot-socket, to a version that does"
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
    connection = psycopg2.connect(
        url, application_name=APPLICATION_NAME, connect_timeout=_CONNECT_TIMEOUT, client_encoding=ENCODING
    )
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(_SESSION)
    connection.autocommit = False
    return connection


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    try:
        connection = _connect(url)
    except psycopg2.Error as error:
        mends = tls.remedy(str(error))
        raise SchemaError(
            f"cannot connect to the database: {_one_line(error)}{f' ({mends})' if mends else ''}"
        ) from error
    try:
        yield connection
    finally:
        connection.close()


def _state(connection: Connection, directory: Path) -> SchemaState:
    ours = revisions(directory)
    try:
        found = version_table.revision(connection, ours)
    except psycopg2.errors.InsufficientPrivilege as error:
        raise RightsError(
            f"{_one_line(error)} for {connection.info.user}: as the owner of the tables run "
            "`psql -f ops/postgres/2-rights.sql`"
        ) from error
    if found is not None and (hidden := version_table.hidden(connection)):
        what = ", ".join(f"{schema}.{name}" for name, schema in hidden.items())
        raise SchemaError(f"search_path finds {what} before the tables of copilot-socket: put their schema first")
    return _compare(found, ours)


def _refuse_unfit(connection: Connection) -> None:
    major, encoding = connection.server_version // 10000, connection.info.parameter_status("server_encoding")
    if major < OLDEST_SERVER:
        raise SchemaError(f"the database is PostgreSQL {major}: {OLDEST_SERVER} or newer is needed")
    if encoding != ENCODING:
        raise SchemaError(
            f"the database is encoded in {encoding}, which can't hold all text: make one with ENCODING '{ENCODING}' "
            f"(CREATE DATABASE … ENCODING '{ENCODING}' TEMPLATE template0)"
        )


def _upgrade(url: str, directory: Path, act: Act | None = None) -> SchemaState:
    from copilot_socket.store.migrations.runner import run  # noqa: PLC0415 - a slow import, seldom needed

    states: list[SchemaState] = []

    def wanted(connection: Connection) -> bool:
        version_table.take_over(connection, revisions(directory))
        state = _state(connection, directory)
        if state.standing is Standing.AHEAD:
            raise _ahead(state)
        states.append(state)
        return state.standing is not Standing.UP_TO_DATE

    def upgraded(connection: Connection) -> None:
        if act is not None:
            with connection.cursor() as cursor:
                done = act.on(None, {"revision": [states[0].current, states[0].head]})
                cursor.execute(sql("record_acts"), columns([done]))

    try:
        notices = run(lambda: _connect(url), wanted, upgraded, directory)
    except psycopg2.Error as error:
        taken = isinstance(error, psycopg2.errors.DuplicateTable | psycopg2.errors.DuplicateObject)
        remedy = f"; if that is another program's, {_OWN_SCHEMA}" if taken else ""
        raise SchemaError(
            f"the database refused a migration, nothing was changed: {_one_line(error)}{remedy}"
        ) from error
    return attrs.evolve(states[0], notices=tuple(notices))
