"""Databases of earlier versions, and their upgrades."""

import shutil
import tempfile
from pathlib import Path
from threading import Thread

from copilot_socket.store import migrate

_FORMER_ENV = """
from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
"""
"""The environment of migrations up to 0004: with Alembic's default version table."""

_LAST_FORMER = "0004"


def upgrade_to(url: str, number: str) -> None:
    """Upgrade the database to the revision *number* (four digits), as the version of that time did."""
    directory = Path(tempfile.mkdtemp())
    try:
        (directory / "versions").mkdir()
        for path in (migrate.MIGRATIONS / "versions").glob("[0-9]*"):
            if path.name[:4] <= number:
                shutil.copy(path, directory / "versions")
        if number <= _LAST_FORMER:
            (directory / "env.py").write_text(_FORMER_ENV)
        else:
            shutil.copy(migrate.MIGRATIONS / "env.py", directory)
        migrate.require_current(url, upgrade=True, directory=directory)
    finally:
        shutil.rmtree(directory)


def upgraded_at_once(count: int, url: str, directory: Path = migrate.MIGRATIONS) -> list[object]:
    """Upgrade the database by the migrations in *directory* in *count* threads together.

    Returns for each the standing before the upgrade, or the error.
    """
    found: list[object] = []

    def upgrade() -> None:
        try:
            found.append(migrate.require_current(url, upgrade=True, directory=directory).standing)
        except Exception as error:  # for the caller's assertion
            found.append(error)

    threads = [Thread(target=upgrade) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
