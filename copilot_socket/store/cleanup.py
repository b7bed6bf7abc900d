"""Cleanup: deletes old rows, in batches that hold no lock for long, and repairs rows left inconsistent by others."""

from collections.abc import Mapping

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from copilot_socket.store.database import Database
from copilot_socket.store.history import KEPT
from copilot_socket.store.job_trees import JobTrees
from copilot_socket.store.sql import sql

BATCH = 1000
"""Rows that one statement deletes or repairs, at most."""
PAUSE = 0.05
"""Seconds between two statements."""


class Cleanup:
    """Deletes trees of jobs, errors and acts over a maximum age (seconds), and old rows of other tables.

    A live assignment of a job that is not held is ended, and a held job without a live assignment is queued again.
    """

    def __init__(
        self,
        database: Database,
        reactor: IReactorTime,
        *,
        max_job_age: float,
        max_error_age: float,
        max_audit_age: float,
    ) -> None:
        self._database = database
        self._reactor = reactor
        self._trees = JobTrees(database, reactor, PAUSE)
        self._max_job_age = max_job_age
        self._parameters: Mapping[str, Mapping[str, float]] = {
            "clean_audit": {"age": max_audit_age},
            "clean_budgets": {},
            "clean_errors": {"age": max_error_age},
            "clean_error_counts": {"age": max_error_age},
            "clean_error_groups": {"age": max_error_age},
            "clean_connections": {},
            "clean_deliveries": {"age": max_error_age},
            "clean_crawler_ends": {},
            "clean_crawlers": {},
            "clean_disturbances": {},
            "clean_history": KEPT,
            "clean_keys": {},
            "clean_operations": {"age": max_error_age},
        }

    async def run(self) -> dict[str, int]:
        """Run one round; return the number of rows that each statement has deleted or repaired."""
        return {
            "clean_inconsistent": await self._all_of("clean_inconsistent", {}),
            "clean_jobs": await self._trees.clean(self._max_job_age),
            **{name: await self._all_of(name, given) for name, given in self._parameters.items()},
        }

    async def _all_of(self, name: str, parameters: Mapping[str, float]) -> int:
        total = 0
        while True:
            [(count, *_)] = await self._database.query(sql(name), {**parameters, "limit": BATCH})
            total += int(count)
            if count < BATCH:
                return total
            await deferLater(self._reactor, PAUSE)
