"""Databases as earlier versions left them, and their upgrades."""

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
"""How the steps up to 0004 were run: with Alembic's own name for the table of versions."""

_LAST_FORMER = "0004"


def upgrade_to(url: str, number: str) -> None:
    """Bring the database to our revision *number* (four digits), as the version of that time did."""
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
        migrate.upgrade(url, directory)
    finally:
        shutil.rmtree(directory)


def upgraded_at_once(count: int, url: str, directory: Path = migrate.MIGRATIONS) -> list[object]:
    """What each of *count* threads finds that upgrade the database together, by the steps in *directory*.

    That is the standing before its upgrade, or what it failed with.
    """
    found: list[object] = []

    def upgrade() -> None:
        try:
            found.append(migrate.upgrade(url, directory).standing)
        except Exception as error:  # for the caller's assertion
            found.append(error)

    threads = [Thread(target=upgrade) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
