"""Sessions that wait for locks of other ones."""

from typing import Protocol

from tests.support.crawler import until

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


class _Queries(Protocol):
    def query(self, statement: str) -> list[tuple[object, ...]]:
        """The rows of *statement*."""


async def until_waiting(test: _Queries, number: int = 1) -> None:
    """Return when *number* sessions of the test's database wait for locks."""
    await until(lambda: test.query(WAITING) == [(number,)], f"{number} sessions wait for locks")
