"""Counts as HTTP shows them."""

from typing import Annotated

import attrs

from copilot_socket.core.describing import doc


@attrs.frozen(kw_only=True)
class QueueStats:
    """The queued jobs."""

    ready: Annotated[int, doc("Those that are due.")]
    held_back: Annotated[int, doc("Due ones that restrictions, host holds or a credential keep back.")]
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
    queue: QueueStats
    crawlers: CrawlerStats
