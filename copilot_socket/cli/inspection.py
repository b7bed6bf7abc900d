"""What `check` looks at outside the process: the database, the socket, the HTTP port, the log files.

Nothing is changed; an embedded database that does not run is started for the moment."""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import attrs
import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from copilot_socket.config import Config, masked_url
from copilot_socket.store import migrate
from copilot_socket.store.embedded import EmbeddedError, EmbeddedPostgres

_PATIENCE = 5  # seconds to connect
TABLES = (
    "accounts",
    "area_authorizations",
    "areas",
    "audit_log",
    "job_assignments",
    "job_error_log",
    "job_tries",
    "jobs",
    "socket_connections",
)
_MIGRATE = "run `copilot-socket migrate`"
_OTHER_SOCKET = "set SOCKET_PATH to another path, or make the directory one that this user may write to"


@attrs.frozen
class Finding:
    """One thing that was looked at; `remedy` says what mends it when it is not `good`."""

    subject: str
    good: bool
    detail: str
    remedy: str | None = None


@attrs.frozen
class SocketFinding:
    """What is to say about the socket, and whether a node listens on it right now."""

    finding: Finding
    live: bool


def inspect_database(config: Config) -> Iterator[Finding]:
    """Whether the database can be reached and used."""
    if config.database_url is not None:
        yield from _inspect_url(config.database_url, masked_url(config.database_url), embedded=False)
        return
    embedded = EmbeddedPostgres(config.state_dir)
    name = f"embedded PostgreSQL in {config.state_dir}"
    try:
        embedded.preflight()
        if not embedded.exists():
            yield Finding("database", True, f"{name}: will be made when a node starts")
            return
        try:
            yield from _inspect_url(embedded.start(), name, embedded=True)
        finally:
            embedded.stop()  # it keeps running if a node uses it
    except EmbeddedError as error:
        yield Finding("database", False, str(error), "see the message; or set DATABASE_URL to another PostgreSQL")


def _inspect_url(url: str, name: str, *, embedded: bool) -> Iterator[Finding]:
    try:
        connection = psycopg2.connect(url, connect_timeout=_PATIENCE, application_name=migrate.APPLICATION_NAME)
    except psycopg2.Error as error:
        reason = " ".join(str(error).split())
        yield Finding(
            "database", False, f"{name}: {reason}", "start that PostgreSQL, or set DATABASE_URL to the right one"
        )
        return
    try:
        yield _server(connection, name)
        yield from _schema(url, connection, embedded=embedded)
    except (psycopg2.Error, migrate.SchemaError) as error:
        yield Finding("database", False, f"{name}: {' '.join(str(error).split())}", "see the message")
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


def _schema(url: str, connection: Connection, *, embedded: bool) -> Iterator[Finding]:
    state = migrate.check(url)
    detail = f"revision {state.current or 'none'}, ours is {state.head}"
    if state.standing is migrate.Standing.AHEAD:
        yield Finding("schema", False, detail, "upgrade copilot-socket: the database is ahead of it")
    elif state.standing is migrate.Standing.UP_TO_DATE:
        yield Finding("schema", True, detail)
        yield _tables(connection)
    elif embedded:
        yield Finding("schema", True, f"{detail}: will be upgraded when a node starts")
    else:
        yield Finding("schema", False, detail, _MIGRATE)


def _tables(connection: Connection) -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM unnest(%s) AS name WHERE to_regclass(name) IS NULL", (list(TABLES),))
        missing = [row[0] for row in cursor.fetchall()]
    if missing:
        return Finding("tables", False, f"missing: {', '.join(missing)}", "restore them from a backup")
    return Finding("tables", True, f"all {len(TABLES)} are there")


def inspect_socket(path: str) -> SocketFinding:
    """Whether a node could listen on `path`, and whether one does."""
    if not _exists(path):
        return SocketFinding(_directory(Path(path).parent, path), live=False)
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        fault = Finding("socket", False, f"{path} is there and is not a socket", "move it away, or set SOCKET_PATH")
        return SocketFinding(fault, live=False)
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_PATIENCE)
            probe.connect(path)
    except ConnectionRefusedError:
        return SocketFinding(_directory(Path(path).parent, f"{path} (left by a node that died)"), live=False)
    except OSError as error:
        fault = Finding("socket", False, f"{path}: {error.strerror or error}", _OTHER_SOCKET)
        return SocketFinding(fault, live=False)
    return SocketFinding(Finding("socket", True, f"a node is listening on {path}"), live=True)


def _exists(path: str) -> bool:
    try:
        os.lstat(path)
    except OSError:
        return False
    return True


def _directory(directory: Path, path: str) -> Finding:
    """Whether the socket's directory can be written to, or made."""
    there = directory
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        return Finding("socket", False, f"{path}: {there} is not a directory", _OTHER_SOCKET)
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding("socket", False, f"{path}: no right to write to {there}", _OTHER_SOCKET)
    made = "" if there == directory else f" ({directory} will be made)"
    return Finding("socket", True, f"{path}{made}")


def inspect_http_port(host: str, port: int) -> Finding:
    """Whether the HTTP port is free."""
    address = "127.0.0.1" if host == "localhost" else host
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    shown = f"http://{f'[{address}]' if ':' in address else address}:{port}"
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        remedy = "set COPILOT_HTTP_PORT to a free one" if taken else "set COPILOT_HTTP_HOST or COPILOT_HTTP_PORT"
        return Finding("HTTP port", False, f"{shown}: {error.strerror or error}", remedy)
    return Finding("HTTP port", True, f"{shown} is free" if port else f"any free port of {address}")


def inspect_log_files(config: Config) -> Iterator[Finding]:
    """Whether the log files that are asked for can be written to, or made."""
    for variable, path in (("SOCKET_LOG_FILE", config.log_file), ("SOCKET_ERROR_LOG_FILE", config.error_log_file)):
        if path is not None:
            yield _log_file(variable, path)


def _log_file(variable: str, path: Path) -> Finding:
    there = path if path.exists() else path.absolute().parent
    remedy = f"make its directory one that this user may write to, or set {variable} to another path"
    if not there.exists():
        return Finding(variable, False, f"{path}: there is no directory {there}", remedy)
    if there == path and path.is_dir():
        return Finding(variable, False, f"{path} is a directory", remedy)
    if not os.access(there, os.W_OK if there == path else os.W_OK | os.X_OK):
        return Finding(variable, False, f"{path}: no right to write to {there}", remedy)
    return Finding(variable, True, str(path))
