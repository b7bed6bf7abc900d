"""What `check` looks at in the database. Nothing is changed; an embedded one is started for the moment."""

from collections.abc import Iterator

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from copilot_socket.cli.inspection import Finding
from copilot_socket.config import Config, masked_url
from copilot_socket.store import migrate
from copilot_socket.store.database import DEDICATED
from copilot_socket.store.embedded import EmbeddedError, EmbeddedPostgres, secret_key

_PATIENCE = 5  # seconds to connect
TABLES = (
    "accounts",
    "area_authorizations",
    "areas",
    "audit_log",
    "crawlers",
    "idempotency_keys",
    "job_assignments",
    "job_error_log",
    "job_past_tries",
    "jobs",
    "nodes",
    "oauth_clients",
    "socket_connections",
)
"""Those that a node writes to."""
VIEWS = ("job_tries",)
SEQUENCES = ("job_order",)
_MIGRATE = "run `copilot-socket migrate`, as the role that owns the tables"
_GRANT = "as the owner of the tables run `psql -f ops/postgres/2-rights.sql`, or grant what is missing"
_HOLDERS = "see who holds them (`SELECT usename, count(*) FROM pg_stat_activity GROUP BY 1`)"
# A refused connection has no code, only words.
_CONNECTING = {
    "password authentication failed": "correct user and password in DATABASE_URL, or set the role's password "
    "(`\\password` in psql)",
    "no password supplied": "put the password into DATABASE_URL, percent-encoded",
    "no pg_hba.conf entry": "let this role in: a line in pg_hba.conf, then `SELECT pg_reload_conf()`",
    "too many connections": f"{_HOLDERS}; lower DATABASE_CONNECTION_POOL, or raise the CONNECTION LIMIT of role "
    "and database",
    "connection slots": f"{_HOLDERS}; lower DATABASE_CONNECTION_POOL, or raise max_connections in postgresql.conf",
    "too many clients": f"{_HOLDERS}; lower DATABASE_CONNECTION_POOL, or raise max_connections in postgresql.conf",
    "permission denied for database": "`GRANT CONNECT ON DATABASE … TO …`, as ops/postgres/1-roles.sql does",
    "does not exist": "make role and database (ops/postgres/1-roles.sql), or correct DATABASE_URL",
}
_UNREACHABLE = "start that PostgreSQL, or set DATABASE_URL to the right one"

_MISSING = """
SELECT name FROM unnest(%(tables)s || %(views)s || %(sequences)s) AS name WHERE to_regclass(name) IS NULL
"""

_FORBIDDEN = """
SELECT name || ' (' || string_agg(kind, ', ' ORDER BY kind DESC) || ')' FROM (
  SELECT name, kind FROM unnest(%(tables)s) AS name, unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) AS kind
  WHERE NOT has_table_privilege(name, kind)
  UNION ALL
  SELECT name, 'SELECT' FROM unnest(%(views)s) AS name WHERE NOT has_table_privilege(name, 'SELECT')
  UNION ALL
  SELECT name, 'USAGE' FROM unnest(%(sequences)s) AS name WHERE NOT has_sequence_privilege(name, 'USAGE')
) AS forbidden GROUP BY name ORDER BY name
"""

# -1 is no limit. Slots that are kept for superusers and pg_use_reserved_connections are not for a node.
_ALLOWED_CONNECTIONS = """
SELECT least(
  (SELECT setting::int FROM pg_settings WHERE name = 'max_connections')
    - (SELECT sum(setting::int) FROM pg_settings
       WHERE name IN ('superuser_reserved_connections', 'reserved_connections')),
  (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user AND NOT rolsuper),
  (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()))::int
"""


def inspect_database(config: Config) -> Iterator[Finding]:
    """Whether the database can be reached and used."""
    if config.database_url is not None:
        name = masked_url(config.database_url)
        yield from _inspect_url(config.database_url, name, config.database_pool, embedded=False)
        return
    yield from _secret_key(config)
    embedded = EmbeddedPostgres(config.state_dir)
    name = f"embedded PostgreSQL in {config.state_dir}"
    try:
        embedded.preflight()
        if not embedded.exists():
            yield Finding("database", True, f"{name}: will be made when a node starts")
            return
        try:
            yield from _inspect_url(embedded.start(), name, config.database_pool, embedded=True)
        finally:
            embedded.stop()  # it keeps running if a node uses it
    except EmbeddedError as error:
        yield Finding("database", False, str(error), "do what the message says, or set DATABASE_URL to a PostgreSQL")


def _secret_key(config: Config) -> Iterator[Finding]:
    """Whether the embedded database's own key can be used, where it counts."""
    path = config.state_dir / secret_key.NAME
    try:
        secret_key.read(path)
    except FileNotFoundError:
        if not config.secret_keys:
            yield Finding("secret key", True, f"{path}: will be made when a node starts")
    except (OSError, EmbeddedError) as error:
        yield Finding("secret key", False, str(error), "do what the message says, as the user whom nodes run as")
    else:
        yield Finding("secret key", True, f"{path}: keep a copy of it elsewhere")


def _inspect_url(url: str, name: str, pool: int, *, embedded: bool) -> Iterator[Finding]:
    try:
        connection = psycopg2.connect(url, connect_timeout=_PATIENCE, application_name=migrate.APPLICATION_NAME)
    except psycopg2.Error as error:
        reason = " ".join(str(error).split())
        remedy = next((mends for words, mends in _CONNECTING.items() if words in reason), _UNREACHABLE)
        yield Finding("database", False, f"{name}: {reason}", remedy)
        return
    connection.autocommit = True
    try:
        yield _server(connection, name)
        yield _connections(connection, pool)
        yield from _schema(url, connection, embedded=embedded)
    except migrate.RightsError as error:
        yield Finding("rights", False, f"{name}: {error}", _GRANT)
    except (psycopg2.Error, migrate.SchemaError) as error:
        yield Finding(
            "database", False, f"{name}: {' '.join(str(error).split())}", "run this again, then see its log"
        )
    finally:
        connection.close()


def _server(connection: Connection, name: str) -> Finding:
    major, encoding = connection.server_version // 10000, connection.info.parameter_status("server_encoding")
    detail = f"{name}: PostgreSQL {major}, {encoding}"
    if major < migrate.OLDEST_SERVER:
        return Finding("database", False, detail, f"use PostgreSQL {migrate.OLDEST_SERVER} or newer")
    if encoding != "UTF8":
        return Finding("database", False, detail, "make the database with ENCODING 'UTF8'")
    return Finding("database", True, detail)


def _connections(connection: Connection, pool: int) -> Finding:
    """Whether the server has room for all the connections of one node."""
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
    if state.standing is migrate.Standing.AHEAD:
        yield Finding("schema", False, detail, "upgrade copilot-socket: the database is ahead of it")
    elif state.standing is migrate.Standing.UP_TO_DATE:
        yield Finding("schema", True, detail)
        yield from _tables(connection)
    elif embedded:
        yield Finding("schema", True, f"{detail}: will be upgraded when a node starts")
    else:
        yield Finding("schema", False, detail, _MIGRATE)


def _tables(connection: Connection) -> Iterator[Finding]:
    """Whether everything is there, and may be used by this role."""
    names = {"tables": list(TABLES), "views": list(VIEWS), "sequences": list(SEQUENCES)}
    with connection.cursor() as cursor:
        cursor.execute(_MISSING, names)
        missing = [row[0] for row in cursor.fetchall()]
        if missing:
            yield Finding("tables", False, f"missing: {', '.join(missing)}", "restore them from a backup")
            return
        yield Finding("tables", True, f"all {len(TABLES)} are there")
        cursor.execute(_FORBIDDEN, names)
        forbidden = [row[0] for row in cursor.fetchall()]
    role = connection.info.user
    if forbidden:
        yield Finding("rights", False, f"{role} lacks: {', '.join(forbidden)}", _GRANT)
    else:
        yield Finding("rights", True, f"{role} has those that a node needs")
