"""The table ``job_history``: what nodes did, and how many jobs there were, by the minute and by the hour."""

from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import groupby
from types import MappingProxyType
from typing import Any

from copilot_socket.core.crawler_ends import Ends, Key
from copilot_socket.core.histograms import BUCKETS, Histogram
from copilot_socket.core.history import CAUSES, STATUSES, Interval
from copilot_socket.store.connection import Row, Transaction
from copilot_socket.store.crawler_ends import store_ends
from copilot_socket.store.database import Database
from copilot_socket.store.sql import sql

SECONDS: Mapping[str, int] = {"minute": 60, "hour": 3600, "day": 86_400}
"""Resolution → seconds of an interval."""
KEPT: Mapping[str, int] = {"minute": 86_400, "hour": 90 * 86_400, "day": 90 * 86_400}
"""Resolution → seconds for which its intervals are kept. Days are not stored, but added up from their hours."""

NO_ENDS: Mapping[Key, Ends] = MappingProxyType({})
MOST, MOST_CRAWLERS = 10**12, 10**9
"""The largest numbers that the table takes: of rows of other programs, sums may be larger."""


class History:
    """Reads and writes over the pool of *database*. Times are seconds since the epoch."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, node: str, minutes: Mapping[int, Interval], ends: Mapping[Key, Ends] = NO_ENDS) -> float:
        """Store what *node* has seen of *minutes* (by their beginnings) so far; return the database's time.

        *ends*: how attempts of crawlers ended.
        """

        async def work(tx: Transaction) -> float:
            for at, interval in minutes.items():
                await tx.query(sql("history_store"), _columns("minute", at, node, interval))
            await store_ends(tx, node, ends)
            [(now,)] = await tx.query(sql("history_clock"))
            return float(now)

        return await self._database.transaction(work)

    async def sample(self) -> None:
        """Once a minute, by one node: count the jobs, and sum up the minutes of this hour."""
        await self._database.transaction(_sample)

    async def read(self, resolution: str, since: float, until: float) -> list[tuple[float, Interval]]:
        """The intervals that begin at *since* or later, and before *until*, with their beginnings, oldest first."""
        given = {"resolution": resolution, "since": since, "until": until}
        statement = "history_days" if resolution == "day" else "history_read"
        return _by_time(await self._database.query(sql(statement), given))


async def _sample(tx: Transaction) -> None:
    [(ours,)] = await tx.query(sql("history_lock"))
    if not (ours and await tx.query(sql("history_sample"), {"statuses": list(STATUSES)})):
        return
    minutes = _by_time(await tx.query(sql("history_open")))
    for hour, those in groupby(minutes, lambda minute: minute[0] // SECONDS["hour"] * SECONDS["hour"]):
        whole = reduce(Interval.before, [interval for _, interval in those])
        await tx.query(sql("history_store"), _columns("hour", hour, "", whole))


def _columns(resolution: str, at: float, node: str, interval: Interval) -> dict[str, Any]:
    return {
        "resolution": resolution,
        "at": at,
        "node": node,
        "jobs": None if interval.jobs is None else _storable(interval.jobs),
        "created": min(interval.created, MOST),
        "completed": min(interval.completed, MOST),
        "failed": min(interval.failed, MOST),
        "cancelled": min(interval.cancelled, MOST),
        "ended": _storable(interval.ended),
        "dispatch": _storable(interval.dispatch.counts),
        "dispatch_seconds": interval.dispatch.seconds,
        "dispatch_longest": interval.dispatch.longest,
        "run": _storable(interval.run.counts),
        "run_seconds": interval.run.seconds,
        "run_longest": interval.run.longest,
        "crawlers": min(interval.crawlers, MOST_CRAWLERS),
    }


def _storable(counts: Sequence[int]) -> list[int]:
    return [min(count, MOST) for count in counts]


def _by_time(rows: Sequence[Row]) -> list[tuple[float, Interval]]:
    """The rows of each time together."""
    return [
        (at, reduce(Interval.beside, [_interval(*row[1:]) for row in those]))
        for at, those in groupby(rows, lambda row: float(row[0]))
    ]


def _interval(
    jobs: list[int] | None,
    created: int,
    completed: int,
    failed: int,
    cancelled: int,
    ended: list[int] | None,
    dispatch: list[int] | None,
    dispatch_seconds: float,
    dispatch_longest: float,
    run: list[int] | None,
    run_seconds: float,
    run_longest: float,
    crawlers: int,
) -> Interval:
    return Interval(
        None if jobs is None else _fitting(jobs, len(STATUSES)),
        created,
        completed,
        failed,
        cancelled,
        _fitting(ended, len(CAUSES)),
        Histogram(_fitting(dispatch, BUCKETS), dispatch_seconds, dispatch_longest),
        Histogram(_fitting(run, BUCKETS), run_seconds, run_longest),
        crawlers,
    )


def _fitting(counts: list[int] | None, length: int) -> list[int]:
    """*counts* of a version that knew fewer kinds, with zeros for the others."""
    return [*(counts or ()), *[0] * length][:length]
