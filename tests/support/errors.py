"""Groups of errors in a store, and jobs that fail."""

from datetime import datetime
from typing import Any

from copilot_socket.core.acts import Act
from copilot_socket.core.error_groups import GroupStatus
from copilot_socket.core.reports import Failed
from copilot_socket.store.errors import ErrorGroups, mark_retried
from copilot_socket.store.listing import Page, Record
from tests.support.acts import ACT
from tests.support.store import StoreTestCase

BROKEN = Failed("Cannot store issue 4711 of acme/shop", "TypeError", True)
ALL = {"status": frozenset(GroupStatus)}


class ErrorsTestCase(StoreTestCase):
    """Shorthand."""

    def setUp(self) -> None:
        super().setUp()
        self.errors = ErrorGroups(self.database)

    async def groups(self, **filters: Any) -> list[Record]:
        """The groups that are listed."""
        return list((await self.errors.groups(Page(), filters)).rows)

    async def retried(self, fingerprint: str, act: Act = ACT) -> bool:
        """Mark a group as retried."""
        return await self.database.transaction(lambda tx: mark_retried(tx, fingerprint, act))

    async def failed(self, path: str = "g/p", failure: Failed = BROKEN) -> str:
        """A job that has failed once; its id."""
        assignment = await self.assigned(path)
        await self.report(assignment, failure)
        return assignment[:26]

    async def again(self, job: str) -> str:
        """Claim the job once more, however long it has to wait."""
        self.query("UPDATE jobs SET ready = true, scheduled_at = now() WHERE id = %s", job)
        [assignment] = await self.claim("c1")
        return assignment

    def add_group(self, fingerprint: str, **columns: Any) -> None:
        """A row of a group."""
        given = {"command": "issues", "text": fingerprint, "errors": 1, **columns}
        self.query(
            f"INSERT INTO error_groups (fingerprint, {', '.join(given)}) VALUES (%s{', %s' * len(given)})",
            *(fingerprint, *given.values()),
        )

    def add_counts(self, fingerprint: str, *counts: tuple[str, datetime, int]) -> None:
        """Counts by account and hour."""
        for account, hour, errors in counts:
            self.query("INSERT INTO error_counts VALUES (%s, %s, %s, %s)", fingerprint, hour, account, errors)
