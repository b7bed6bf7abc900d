"""Counts of jobs, and what happened by the minute and by the hour, over HTTP."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import attrs

from copilot_socket.core.history import CAUSES, STATUSES, Interval
from copilot_socket.http import queries
from copilot_socket.http.fields import Check, one_of, text, timestamp
from copilot_socket.http.messages import Call, Reply, invalid, reply
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.history import KEPT, SECONDS

OWNERS: dict[str, Check] = {"account_id": text(255), "user_id": text(1020)}
PERIOD: dict[str, Check] = {"resolution": one_of(*SECONDS), "since": timestamp, "until": timestamp}
SHOWN = 60
"""Intervals that are shown where no beginning is given, and that are read at a time."""


@attrs.frozen
class StatsHandlers:
    """Handles requests to ``/api/v1/stats``. *time_of_day*: seconds since 1970."""

    catalog: Catalog
    time_of_day: Callable[[], float]

    async def show(self, call: Call) -> Reply:
        """Counts of jobs, queue and crawlers; of an account, of a user or for a limited token of jobs only."""
        given = queries.read(call, OWNERS)
        if not given and call.within is None:
            return reply(await self.catalog.stats())
        return reply(await self.catalog.stats_of(given.get("account_id"), given.get("user_id"), call.within))

    async def history(self, call: Call) -> Reply:
        """What happened in each minute or hour of a period, oldest first."""
        given = queries.read(call, PERIOD)
        resolution, now = given.get("resolution", "minute"), self.time_of_day()
        step = SECONDS[resolution] * SHOWN
        until = _epoch(given.get("until"), now)
        since = _epoch(given.get("since"), until - step)
        if since > until:
            raise invalid("?since", "must not be after until")
        shown = []
        # Nothing is older, and nothing is of the future.
        since, until = max(since, now - KEPT[resolution] - step), min(until, now + step)
        while since < until:
            read = await self.catalog.history(resolution, since, min(since + step, until))
            shown += [_shown(at, interval) for at, interval in read]
            since += step
            await call.next_slice()
        return reply({"resolution": resolution, "history": shown})


def _epoch(given: str | None, instead: float) -> float:
    return instead if given is None else datetime.fromisoformat(given).timestamp()


def _shown(at: float, interval: Interval) -> dict[str, Any]:
    jobs = interval.jobs
    return {
        "at": datetime.fromtimestamp(at, UTC),
        "jobs": None if jobs is None else dict(zip(map(str, STATUSES), jobs, strict=True)),
        "created": interval.created,
        "completed": interval.completed,
        "failed": interval.failed,
        "cancelled": interval.cancelled,
        "ended": {str(cause): count for cause, count in zip(CAUSES, interval.ended, strict=True) if count},
        "dispatch": interval.dispatch.summary(),
        "run": interval.run.summary(),
        "crawlers": interval.crawlers,
    }
