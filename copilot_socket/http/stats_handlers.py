"""Counts of jobs, and what happened by the minute, hour and day, over HTTP."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import attrs

from copilot_socket.core.describing import doc
from copilot_socket.core.history import CAUSES, STATUSES, Interval
from copilot_socket.http.checks import one_of, short_name, text, timestamp
from copilot_socket.http.endpoints import endpoint
from copilot_socket.http.messages import Call, Reply, invalid, reply
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.history import KEPT, SECONDS
from copilot_socket.store.shown.stats import HistoryInterval, Stats

SHOWN = 60
"""Intervals that are shown where no beginning is given, and that are read at a time, except of days."""


@attrs.frozen(kw_only=True)
class StatsQuery:
    """Whose jobs are counted."""

    account_id: Annotated[str | None, text(255), doc("Only those of this account.")] = None
    user_id: Annotated[str | None, short_name, doc("Only those of this user.")] = None


@attrs.frozen(kw_only=True)
class HistoryQuery:
    """Which period."""

    resolution: Annotated[
        str, one_of(*SECONDS), doc("Minutes are kept for a day, hours and days (in UTC) for 90 days.")
    ] = "minute"
    since: Annotated[str | None, timestamp, doc("Its beginning; without it 60 intervals before its end.")] = None
    until: Annotated[str | None, timestamp, doc("Its end; without it now.")] = None


@attrs.frozen(kw_only=True)
class History:
    """What happened in a period."""

    resolution: Annotated[Literal["minute", "hour", "day"], doc("How long each interval is.")]
    history: Annotated[list[HistoryInterval], doc("Intervals of which something is known, in their order.")]


@attrs.frozen
class StatsHandlers:
    """Handles requests to ``/api/v1/stats``. *time_of_day*: seconds since 1970."""

    catalog: Catalog
    time_of_day: Callable[[], float]

    @endpoint({200: Stats})
    async def show_stats(self, call: Call, query: StatsQuery) -> Reply:
        """Counts of jobs, queue and crawlers; of an account, of a user or for a limited token of jobs only."""
        account, user = query.account_id, query.user_id
        if account is None and user is None and call.within is None:
            return reply(await self.catalog.stats())
        return reply(await self.catalog.stats_of(account, user, call.within))

    @endpoint({200: History})
    async def show_history(self, call: Call, query: HistoryQuery) -> Reply:
        """What happened in each minute, hour or day of a period, at all nodes together, oldest first."""
        resolution, now = query.resolution, self.time_of_day()
        step = SECONDS[resolution] * SHOWN
        until = _epoch(query.until, now)
        since = _epoch(query.since, until - step)
        if since > until:
            raise invalid("?since", "must not be after until, which is now unless given")
        shown = []
        # Nothing is older, and nothing is of the future.
        since, until = max(since, now - KEPT[resolution] - step), min(until, now + step)
        if resolution == "day":  # of whose hours some may be deleted before that; these add up to few rows
            since, step = max(since, now - KEPT[resolution]), KEPT[resolution] + step
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
