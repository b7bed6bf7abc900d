"""Counts as HTTP shows them."""

from typing import Annotated

import attrs
from msgspec import UNSET, UnsetType

from copilot_socket.core.describing import Time, doc


@attrs.frozen(kw_only=True)
class QueueStats:
    """The queued jobs."""

    ready: Annotated[int, doc("Those that are due.")]
    held_back: Annotated[int, doc("Due ones that restrictions, host holds or a credential keep back.")]
    path_paused: Annotated[int, doc("Of these, those that a pause of their path keeps back.")]
    scheduled: Annotated[int, doc("Those that are due later.")]
    oldest_seconds: Annotated[float, doc("Since the first of the ready ones that are not unroutable fell due.")]
    unroutable: Annotated[int, doc("Ready ones whose command no connected crawler takes that may be given work.")]
    unroutable_commands: Annotated[dict[str, int], doc("The same by command.")]


@attrs.frozen(kw_only=True)
class CrawlerStats:
    """The crawlers."""

    connected: Annotated[int, doc("Those that are connected.")]
    plain: Annotated[int, doc("Of these, the ones that have never said `hello`.")]
    modes: Annotated[dict[str, int], doc("The connected ones by mode, for every mode.")]
    stale: Annotated[
        int, doc("Those with an open connection that do not count as connected any more: silent, or without a node.")
    ]
    known: Annotated[int, doc("Those that are connected, or were within the last day.")]
    assignments: Annotated[int, doc("The jobs that crawlers hold.")]


@attrs.frozen(kw_only=True)
class Stats:
    """Counts of jobs, queue and crawlers."""

    jobs: Annotated[dict[str, int], doc("Jobs by state, for every state.")]
    commands: Annotated[dict[str, dict[str, int]] | UnsetType, doc("The same by command, of those with jobs.")] = (
        UNSET
    )
    queue: QueueStats | UnsetType = UNSET
    crawlers: CrawlerStats | UnsetType = UNSET


@attrs.frozen(kw_only=True)
class Durations:
    """How long something took, in seconds."""

    count: Annotated[int, doc("How often.")]
    mean: Annotated[float | None, doc("On average.")]
    p50: Annotated[float | None, doc("Half of them at most; as the other percentiles to some 10 %.")]
    p95: Annotated[float | None, doc("95 % of them at most.")]
    p99: Annotated[float | None, doc("99 % of them at most.")]
    max: Annotated[float | None, doc("The longest.")]


@attrs.frozen(kw_only=True)
class HistoryInterval:
    """What happened in a minute, an hour or a day."""

    at: Annotated[Time, doc("Its beginning.")]
    jobs: Annotated[dict[str, int] | None, doc("Jobs by state at its beginning; null if no node was there to count.")]
    created: Annotated[int, doc("Jobs that were submitted or discovered.")]
    completed: Annotated[int, doc("Jobs that were completed.")]
    failed: Annotated[int, doc("Jobs that failed for good.")]
    cancelled: Annotated[int, doc("Jobs that were cancelled.")]
    ended: Annotated[dict[str, int], doc("Attempts that ended, by their cause.")]
    dispatch: Annotated[Durations, doc("From when a job was due until it was sent.")]
    run: Annotated[Durations, doc("Of attempts, from their assignment to their end.")]
    crawlers: Annotated[int, doc("Crawlers that were connected, at most at a time.")]
