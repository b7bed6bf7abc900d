"""The table that holds the revision of a database, and the schema of its tables. Everything here blocks.

Up to revision 0004 it was ``alembic_version``, Alembic's default, which the web application's Alembic uses as well.
"""

from collections.abc import Sequence

import attrs
from psycopg2.errors import UndefinedTable
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.sql import SQL, Identifier

from copilot_socket.store.rights import SEQUENCES, TABLES, VERSION_TABLE, VIEWS

_FORMER = "alembic_version"
_ANCHOR = "job_order"
"""A sequence with a name that no other program is likely to use: the tables are in its schema."""


@attrs.frozen
class Former:
    """``alembic_version`` in *schema*; it holds *ours*, revisions of copilot-socket, with tables in *our_schema*.

    *whole*: it holds nothing else, and has the schema and the owner of those tables.
    """

    schema: str
    our_schema: str
    ours: Sequence[str]
    whole: bool


def revision(connection: Connection, ours: Sequence[str]) -> str | None:
    """The revision of the tables that search_path finds, None where it finds none; *ours* are all known revisions.

    Raises psycopg2.errors.InsufficientPrivilege where this role may not read it.
    """
    try:
        return _revision(connection, ours)
    except UndefinedTable:  # a concurrent upgrade has moved it after its name was looked up
        connection.rollback()
        return _revision(connection, ours)


def _revision(connection: Connection, ours: Sequence[str]) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", (VERSION_TABLE,))
        if cursor.fetchone() != (None,):
            cursor.execute(f"SELECT version_num FROM {VERSION_TABLE}")
            row = cursor.fetchone()
            return None if row is None else str(row[0])
    former = _former(connection, ours)
    return former.ours[0] if former else None


def take_over(connection: Connection, ours: Sequence[str]) -> None:
    """Move the revision from ``alembic_version``, if it is still there. Rows of other programs stay."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", (VERSION_TABLE,))
        if cursor.fetchone() != (None,) or (former := _former(connection, ours)) is None:
            return
        table = Identifier(former.schema, _FORMER)
        if former.whole:  # renamed, which keeps its grants
            cursor.execute(SQL("ALTER TABLE {} RENAME TO {}").format(table, Identifier(VERSION_TABLE)))
            key = Identifier(former.schema, f"{_FORMER}_pkc")
            cursor.execute(
                SQL("ALTER INDEX IF EXISTS {} RENAME TO {}").format(key, Identifier(f"{VERSION_TABLE}_pkc"))
            )
            return
        new = Identifier(former.our_schema, VERSION_TABLE)
        cursor.execute(
            SQL(
                "CREATE TABLE {} (version_num varchar(32) NOT NULL CONSTRAINT {} PRIMARY KEY);"
                "INSERT INTO {} SELECT version_num FROM {} WHERE version_num = ANY (%(ours)s);"
                "DELETE FROM {} WHERE version_num = ANY (%(ours)s)"
            ).format(new, Identifier(f"{VERSION_TABLE}_pkc"), new, table, table),
            {"ours": list(former.ours)},
        )


def hidden(connection: Connection) -> dict[str, str]:
    """Name → schema of relations of other programs that search_path finds before those of copilot-socket."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT o.relname, n.nspname FROM pg_class a JOIN pg_class o ON o.relnamespace = a.relnamespace"
            " JOIN pg_class f ON f.oid = to_regclass(o.relname) JOIN pg_namespace n ON n.oid = f.relnamespace"
            " WHERE a.oid = to_regclass(%s) AND o.relname = ANY (%s) AND f.oid <> o.oid ORDER BY 1",
            (_ANCHOR, [*TABLES, *VIEWS, *SEQUENCES, VERSION_TABLE]),
        )
        return dict(cursor.fetchall())


def elsewhere(connection: Connection) -> list[str]:
    """Schemas with tables of copilot-socket that are not in search_path."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relname = %s AND c.relkind = 'S' AND NOT pg_table_is_visible(c.oid) ORDER BY 1",
            (_ANCHOR,),
        )
        return [row[0] for row in cursor.fetchall()]


def _former(connection: Connection, ours: Sequence[str]) -> Former | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.nspname, n.nspname, (c.relnamespace, c.relowner) = (a.relnamespace, a.relowner)"
            " FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace,"
            " pg_class a JOIN pg_namespace n ON n.oid = a.relnamespace"
            " WHERE c.oid = to_regclass(%s) AND c.relkind = 'r' AND a.oid = to_regclass(%s)",
            (_FORMER, _ANCHOR),
        )
        row = cursor.fetchone()
        if row is None:
            return None
        cursor.execute(SQL("SELECT version_num FROM {}").format(Identifier(row[0], _FORMER)))
        all_of_it = [str(each[0]) for each in cursor.fetchall()]
    known = [each for each in all_of_it if each in ours]
    return Former(row[0], row[1], known, whole=bool(row[2]) and known == all_of_it) if known else None
