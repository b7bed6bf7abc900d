"""The table of GitLab hosts: when jobs of each last succeeded."""

from collections.abc import Sequence

from copilot_socket.store.database import Database
from copilot_socket.store.sql import sql


class Hosts:
    """Writes over the pool."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def succeeded(self, accounts: Sequence[str]) -> None:
        """Jobs of *accounts* have just been completed."""
        await self._database.query(sql("hosts_succeeded"), {"account": list(accounts)})
