"""Crawlers as HTTP shows them."""

from typing import Annotated

import attrs

from copilot_socket.core.crawler_modes import Mode
from copilot_socket.core.describing import Time, doc
from copilot_socket.store.columns import Column


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
    connected: Annotated[bool, Column("c.lease_expires_at > now()"), doc("Whether it is connected.")]
    max_jobs: Annotated[int, Column("c.max_jobs"), doc("How many jobs it may hold.")]
    mode: Annotated[Mode, Column("c.mode"), doc("Whether it is given work.")]
    suspected_at: Annotated[Time | None, Column("c.suspected_at"), doc("Since when it fails everything.")]
    entity_types: Annotated[list[str], Column("c.entity_types"), doc("What it can crawl.")]
    active_jobs: Annotated[list[str], Column("held.jobs"), doc("The assignments that it holds.")]
    last_heartbeat: Annotated[Time | None, Column("seen.last_heartbeat"), doc("When it last sent a message.")]
    system_status: Annotated[str | None, Column("seen.system_status"), doc("What it last said of itself.")]
    connections: Annotated[int, Column("seen.connections"), doc("Its open connections.")]
    first_seen: Annotated[Time, Column("c.first_seen"), doc("When it first connected.")]


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
