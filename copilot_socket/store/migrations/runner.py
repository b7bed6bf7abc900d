"""The part of migrating that needs Alembic, which takes longer to import than all the rest together."""

from collections.abc import Callable
from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

# Held for the transaction in which a schema changes, by whoever changes it.
_ADVISORY_LOCK = 0x636F70696C6F74


class _Notices:
    """Takes the place of psycopg2's list, which keeps fifty and which SQLAlchemy empties."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def append(self, notice: str) -> None:
        """Keep *notice* without its severity, which is in the server's language."""
        self.all.append(notice.partition(":")[2].strip())


def run(
    connect: Callable[[], Connection],
    wanted: Callable[[Connection], bool],
    upgraded: Callable[[Connection], None],
    directory: Path,
) -> list[str]:
    """Run the missing steps in one transaction, if they are `wanted` once nobody else is at it; their notices.

    `upgraded` is called after them, in the same transaction. Raises psycopg2.Error, and what `wanted` raises; then
    nothing was changed.
    """
    notices = _Notices()
    engine = sqlalchemy.create_engine("postgresql+psycopg2://", creator=connect, poolclass=sqlalchemy.pool.NullPool)
    config = Config()
    config.set_main_option("script_location", str(directory).replace("%", "%%"))
    try:
        with engine.begin() as connection:
            raw = connection.connection.dbapi_connection
            assert isinstance(raw, Connection)
            raw.notices = notices
            with raw.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_ADVISORY_LOCK,))
            if wanted(raw):
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                upgraded(raw)
    except sqlalchemy.exc.DBAPIError as error:
        if error.orig is None:
            raise
        raise error.orig from error
    return notices.all
