"""The database checks of `check`. They change nothing; an embedded database is started if necessary, then stopped."""

from collections.abc import Iterator

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from copilot_socket.cli.fitness_inspection import inspect_session, inspect_tokens, inspect_writing
from copilot_socket.cli.inspection import Finding
from copilot_socket.cli.output import complain
from copilot_socket.config import Config, masked_url
from copilot_socket.core.vault import Vault
from copilot_socket.store import migrate, tls, version_table
from copilot_socket.store.database import DEDICATED
from copilot_socket.store.embedded import EmbeddedError, EmbeddedPostgres, keys_in_use, secret_key
from copilot_socket.store.rights import FORBIDDEN, MISSING, NEEDED, TABLES

_PATIENCE = 5  # seconds to connect, and for each statement
_MIGRATE = "run `copilot-socket migrate`, as the role that owns the tables"
_GRANT = "as the owner of the tables run `psql -f ops/postgres/2-rights.sql`, or grant what is missing"
_HOLDERS = "see who holds them (`SELECT usename, count(*) FROM pg_stat_activity GROUP BY 1`)"
_UNREACHABLE = "start that PostgreSQL, or set DATABASE_URL to the right one"
# libpq gives no error code for a refused connection, only its message.
_CONNECTING = {
    **tls.REMEDIES,
    "password authentication failed": "correct user and password in DATABASE_URL, or set the role's password "
    "(`\\password` in psql)",
    "no password supplied": "put the password into DATABASE_URL, percent-encoded",
    "no pg_hba.conf entry": "let this role in: a line in pg_hba.conf, then `SELECT pg_reload_conf()`; if its line is "
    f"there and begins with `hostssl`, append {tls.VERIFY} to DATABASE_URL",
    "too many connections": f"{_HOLDERS}; lower DATABASE_CONNECTION_POOL, or raise the CONNECTION LIMIT of role "
    "and database",
    "connection slots": f"{_HOLDERS}; lower DATABASE_CONNECTION_POOL, or raise max_connections in postgresql.conf",
    "too many clients": f"{_HOLDERS}; lower DATABASE_CONNECTION_POOL, or raise max_connections in postgresql.conf",
    "permission denied for database": "`GRANT CONNECT ON DATABASE … TO …`, as ops/postgres/1-roles.sql does",
    "does not exist": "make role and database (ops/postgres/1-roles.sql), or correct DATABASE_URL",
    "Is the server running": _UNREACHABLE,
    "timeout expired": _UNREACHABLE,
    "could not translate host name": _UNREACHABLE,
}
_REFUSED = "see the server's message above, and its log"  # messages may be localized

# -1 means no limit. A node cannot use the slots reserved for superusers and pg_use_reserved_connections.
_ALLOWED_CONNECTIONS = """
SELECT least(
  (SELECT setting::int FROM pg_settings WHERE name = 'max_connections')
    - (SELECT sum(setting::int) FROM pg_settings
       WHERE name IN ('superuser_reserved_connections', 'reserved_connections')),
  (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user AND NOT rolsuper),
  (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()))::int
"""


def inspect_database(config: Config, vault: Vault | None) -> Iterator[Finding]:
    """Whether the database can be reached and used; with *vault*, also whether it decrypts the stored tokens."""
    if config.database_url is not None:
        name = masked_url(config.database_url)
        yield from _inspect_url(config.database_url, name, config.database_pool, vault, embedded=False)
        return
    keys = _secret_key(config)
    yield keys
    if vault is not None:
        vault = Vault(keys_in_use(config.state_dir, config.secret_keys, make=False)) if keys.good else None
    embedded = EmbeddedPostgres(config.state_dir, tell=complain)
    name = f"embedded PostgreSQL in {config.state_dir}"
    try:
        embedded.preflight()
        if not embedded.exists():
            yield Finding("database", True, f"{name}: will be made when a node starts")
            return
        try:
            yield from _inspect_url(embedded.start(), name, config.database_pool, vault, embedded=True)
        finally:
            embedded.stop()  # no effect while a node uses it
    except EmbeddedError as error:
        yield Finding("database", False, str(error), "do what the message says, or set DATABASE_URL to a PostgreSQL")


def _secret_key(config: Config) -> Finding:
    """Whether the key file of the embedded database is readable and valid."""
    path = config.state_dir / secret_key.NAME
    try:
        secret_key.read(path)
    except FileNotFoundError:
        there = "COPILOT_SECRET_KEY" if config.secret_keys else f"{path}: will be made when a node starts"
        return Finding("secret key", True, there)
    except (OSError, EmbeddedError) as error:
        return Finding("secret key", False, str(error), "do what the message says, as the user whom nodes run as")
    return Finding("secret key", True, f"{path}: keep a copy of it elsewhere")


def _inspect_url(url: str, name: str, pool: int, vault: Vault | None, *, embedded: bool) -> Iterator[Finding]:
    try:
        connection = psycopg2.connect(
            url,
            connect_timeout=_PATIENCE,
            application_name=migrate.APPLICATION_NAME,
            client_encoding=migrate.ENCODING,
        )
    except psycopg2.Error as error:
        reason = " ".join(str(error).split())
        remedy = next((mends for words, mends in _CONNECTING.items() if words in reason), _REFUSED)
        yield Finding("database", False, f"{name}: {reason}", remedy)
        return
    connection.autocommit = True
    try:
        _limit_statements(connection)
        server = _server(connection, name)
        yield server
        if not server.good:
            return
        unsafe = tls.unverified(connection)
        if unsafe is not None:
            yield Finding("TLS", True, *unsafe)
        yield _connections(connection, pool)
        unwritable = inspect_session(connection)
        if unwritable is not None:
            yield unwritable
        findings = list(_schema(url, connection, embedded=embedded))
        yield from findings
        if findings[-1].subject == "rights" and findings[-1].good:
            if unwritable is None:
                yield inspect_writing(connection)
            if vault is not None:
                yield inspect_tokens(connection, vault)
    except migrate.RightsError as error:
        yield Finding("rights", False, f"{name}: {error}", _GRANT)
    except migrate.SchemaError as error:
        yield Finding("schema", False, f"{name}: {error}", "do what the message says")
    except psycopg2.Error as error:
        yield Finding(
            "database",
            False,
            f"{name}: {' '.join(str(error).split())}",
            "run this command again, then see the server's log",
        )
    finally:
        connection.close()


def _server(connection: Connection, name: str) -> Finding:
    major, encoding = connection.server_version // 10000, connection.info.parameter_status("server_encoding")
    detail = f"{name}: PostgreSQL {major}, {encoding}"
    if major < migrate.OLDEST_SERVER:
        return Finding("database", False, detail, f"use PostgreSQL {migrate.OLDEST_SERVER} or newer")
    if encoding != migrate.ENCODING:
        return Finding("database", False, detail, f"make the database with ENCODING '{migrate.ENCODING}'")
    return Finding("database", True, detail)


def _limit_statements(connection: Connection) -> None:
    """Set a statement timeout, for example against a lock that is never granted."""
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = %s", (1000 * _PATIENCE,))


def _connections(connection: Connection, pool: int) -> Finding:
    """Whether the server allows all the connections of one node."""
    with connection.cursor() as cursor:
        cursor.execute(_ALLOWED_CONNECTIONS)
        [(allowed,)] = cursor.fetchall()
    needed = pool + DEDICATED
    detail = f"a node makes up to {needed}, the database allows {allowed} to all together"
    if needed <= allowed:
        return Finding("connections", True, detail)
    remedy = f"set DATABASE_CONNECTION_POOL to {max(allowed - DEDICATED, 1)} or less, or raise max_connections (in "
    return Finding("connections", False, detail, f"{remedy}postgresql.conf) or the CONNECTION LIMIT of the role")


def _schema(url: str, connection: Connection, *, embedded: bool) -> Iterator[Finding]:
    state = migrate.check(url)
    detail = f"revision {state.current or 'none'}, ours is {state.head}"
    if state.standing is migrate.Standing.EMPTY and (others := version_table.elsewhere(connection)):
        detail += f" (search_path lacks the schema {', '.join(others)}, which has tables)"
    if state.standing is migrate.Standing.AHEAD:
        yield Finding("schema", False, detail, "upgrade copilot-socket: the schema is newer than this version")
    elif state.standing is migrate.Standing.UP_TO_DATE:
        yield Finding("schema", True, detail)
        yield from _tables(connection)
    elif embedded:
        yield Finding("schema", True, f"{detail}: will be upgraded when a node starts")
    else:
        yield Finding("schema", False, detail, _MIGRATE)


def _tables(connection: Connection) -> Iterator[Finding]:
    """Whether all objects exist and this role has the privileges on them that a node needs."""
    with connection.cursor() as cursor:
        cursor.execute(MISSING, NEEDED)
        missing = [row[0] for row in cursor.fetchall()]
        if missing:
            yield Finding("tables", False, f"missing: {', '.join(missing)}", "restore them from a backup")
            return
        yield Finding("tables", True, f"all {len(TABLES)} exist")
        cursor.execute(FORBIDDEN, NEEDED)
        forbidden = [row[0] for row in cursor.fetchall()]
    role = connection.info.user
    if forbidden:
        yield Finding("rights", False, f"{role} lacks: {', '.join(forbidden)}", _GRANT)
    else:
        yield Finding("rights", True, f"{role} has all that a node needs")
