"""Crawlers and nodes as HTTP shows them."""

from typing import Annotated, Any

import attrs
from msgspec import UNSET, UnsetType

from copilot_socket.core.crawler_modes import Mode
from copilot_socket.core.describing import Time, doc
from copilot_socket.store.columns import BESIDE, Column

STALE = """
(c.lease_expires_at <= now() AND EXISTS (
  SELECT FROM socket_connections s WHERE s.crawler_key = c.key AND s.is_active))
"""
"""Whether the crawler ``c`` has an open connection, but no lease any more: its node ends that when it is silent."""


@attrs.frozen(kw_only=True)
class RecentEnds:
    """How attempts of a crawler ended in the last hour, to within five minutes."""

    ended: Annotated[dict[str, int], doc("How many, by cause.")]
    completed: Annotated[int, doc("How many completed their jobs.")]
    failed: Annotated[int, doc("How many ended for a cause that spends an attempt of the job.")]
    seconds: Annotated[float | None, doc("For how long they ran on average; null where none has ended.")]


@attrs.frozen(kw_only=True)
class HeldJob:
    """A job that a crawler holds."""

    job_id: Annotated[str, doc("The job.")]
    crawler_job_id: Annotated[str, doc("The id of this attempt for the crawler: `<job id>.<try>.<random>`.")]
    command: Annotated[str, doc("Its command.")]
    full_path: Annotated[str | None, doc("Its group or project.")]
    account_id: Annotated[str, doc("Its account.")]
    assigned_at: Annotated[Time, doc("Since when the crawler holds it.")]
    started_at: Annotated[Time | None, doc("When the crawler started.")]
    reported_at: Annotated[Time | None, doc("When the crawler last reported.")]
    progress: Annotated[
        dict[str, Any] | None,
        doc("What crawlers have reported, merged; null if that is large."),
    ]


@attrs.frozen(kw_only=True)
class Crawler:
    """A crawler that is connected, or was within the last day."""

    id: Annotated[str, Column("c.crawler_id"), doc("Its `crawlerId`, or the name of its process.")]
    key: Annotated[str, Column("c.key"), doc("What the server tells it apart by.")]
    node_id: Annotated[str, Column("c.node_id"), doc("The node that serves it, or did.")]
    plain: Annotated[bool, Column("c.plain"), doc("Whether it has never said `hello`.")]
    owner: Annotated[
        str | None,
        Column("c.owner"),
        doc("To whom its `crawlerId` belongs: `uid:1000`, `cert:CN=crawler-1` or `token`; null for a plain crawler."),
    ]
    connected: Annotated[bool, Column("c.lease_expires_at > now()"), doc("Whether it is connected, and speaks.")]
    stale: Annotated[
        bool,
        Column(STALE),
        doc(
            "Whether it has an open connection, but does not count as connected any more: silent for "
            "`SOCKET_HEARTBEAT_TIMEOUT`, or its node has died."
        ),
    ]
    version: Annotated[
        str | None,
        Column("c.version"),
        doc("What it said in `hello`; null if it said nothing."),
    ]
    max_jobs: Annotated[int, Column("c.max_jobs"), doc("How many jobs it may hold.")]
    mode: Annotated[Mode, Column("c.mode"), doc("Whether it is given work.")]
    suspected_at: Annotated[Time | None, Column("c.suspected_at"), doc("Since when it fails everything.")]
    entity_types: Annotated[list[str], Column("c.entity_types"), doc("What it can crawl.")]
    active_jobs: Annotated[list[str], Column("held.jobs"), doc("The assignments that it holds.")]
    last_heartbeat: Annotated[Time | None, Column("seen.last_heartbeat"), doc("When it last sent a message.")]
    silent_seconds: Annotated[
        float | None,
        Column("round(extract(epoch FROM now() - seen.last_heartbeat), 3)::float8"),
        doc("Since `last_heartbeat`: of a connected crawler up to a third of `SOCKET_LEASE` too many."),
    ]
    system_status: Annotated[str | None, Column("seen.system_status"), doc("What it last said of itself.")]
    connections: Annotated[int, Column("seen.connections"), doc("Its open connections.")]
    first_seen: Annotated[Time, Column("c.first_seen"), doc("When it first connected.")]
    recent: Annotated[RecentEnds, BESIDE, doc("How its attempts ended in the last hour.")]
    assignments: Annotated[
        list[HeldJob] | UnsetType,
        BESIDE,
        doc("On request: what it holds, longest first, up to ten; of a single crawler always, up to 1,000."),
    ] = UNSET


CRAWLERS = """
crawlers c
CROSS JOIN LATERAL (
  SELECT coalesce(array_agg(a.crawler_job_id ORDER BY a.web_app_job_id), '{}') AS jobs FROM job_assignments a
  WHERE a.crawler_key = c.key AND a.completed_at IS NULL) AS held
CROSS JOIN LATERAL (
  SELECT (SELECT count(*) FROM socket_connections s WHERE s.crawler_key = c.key AND s.is_active) AS connections,
         (SELECT max(s.last_heartbeat) FROM socket_connections s WHERE s.crawler_key = c.key) AS last_heartbeat,
         (SELECT s.system_status FROM socket_connections s
          WHERE s.crawler_key = c.key AND s.system_status IS NOT NULL AND s.last_heartbeat IS NOT NULL
          ORDER BY s.last_heartbeat DESC LIMIT 1) AS system_status) AS seen
"""


@attrs.frozen(kw_only=True)
class Node:
    """A node that runs, or whose end is not an hour ago, unless it was stopped: then it is gone at once."""

    id: Annotated[str, Column("n.id"), doc("Its id, made anew at each start.")]
    host: Annotated[str, Column("n.host"), doc("The name of its machine.")]
    pid: Annotated[int, Column("n.pid"), doc("The id of its process there.")]
    version: Annotated[str | None, Column("n.version"), doc("Its version; null: one before this was shown.")]
    started_at: Annotated[Time, Column("n.started_at"), doc("When it started.")]
    live: Annotated[bool, Column("n.lease_expires_at > now()"), doc("Whether its lease has not run out.")]
    lease_expires_at: Annotated[
        Time, Column("n.lease_expires_at"), doc("Until when it counts as live, unless it renews that.")
    ]
    crawlers: Annotated[int, Column("served.crawlers"), doc("The connected crawlers that it serves.")]
    assignments: Annotated[int, Column("served.assignments"), doc("The jobs that these hold.")]
    connections: Annotated[
        int,
        Column("(SELECT count(*) FROM socket_connections s WHERE s.node_id = n.id AND s.is_active)"),
        doc("The open connections of crawlers to it."),
    ]
    operations: Annotated[
        int,
        Column("(SELECT count(*) FROM operations o WHERE o.node_id = n.id AND o.status = 'running')"),
        doc("The bulk operations that it carries out."),
    ]


NODES = """
nodes n
CROSS JOIN LATERAL (
  SELECT count(*) AS crawlers, coalesce(sum((
           SELECT count(*) FROM job_assignments a WHERE a.crawler_key = c.key AND a.completed_at IS NULL)), 0)::bigint
         AS assignments
  FROM crawlers c WHERE c.node_id = n.id AND c.lease_expires_at > now()) AS served
"""
