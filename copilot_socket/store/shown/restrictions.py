"""Pauses, hosts and budgets as HTTP shows them."""

from typing import Annotated, Literal

import attrs

from copilot_socket.core.describing import Time, doc
from copilot_socket.core.pauses import Scope
from copilot_socket.store.columns import Column


@attrs.frozen(kw_only=True)
class Pause:
    """A pause in force."""

    id: Annotated[str, doc("Its id.")]
    scope: Annotated[Scope, doc("What it covers.")]
    target: Annotated[
        str | None, doc("The account's id, the host's origin, the command, or the path; null for everything.")
    ]
    reason: Annotated[str | None, doc("Why.")]
    author: Annotated[str, doc("Who wants it.")]
    created_at: Annotated[Time, doc("Since when it holds.")]
    ends_at: Annotated[Time | None, doc("When it ends; null: when somebody ends it.")]


@attrs.frozen(kw_only=True)
class HostState:
    """A GitLab at which there are accounts, without the time of its last success, which changes once a second."""

    origin: Annotated[str, doc("Its origin.")]
    max_running: Annotated[int | None, doc("How many of its jobs may run at a time; null: any number.")]
    held_since: Annotated[Time | None, doc("Since when its jobs are held back, since it is unavailable.")]
    next_probe_at: Annotated[Time | None, doc("When the next job is sent to try it.")]
    accounts: Annotated[int, doc("The number of its accounts.")]


@attrs.frozen(kw_only=True)
class Host(HostState):
    """A GitLab at which there are accounts."""

    last_success_at: Annotated[Time | None, doc("When a job last succeeded there.")]


HOSTS = """(
  SELECT o.origin, h.max_running, h.held_since, h.opens_at AS next_probe_at, h.last_success_at,
         (SELECT count(*) FROM accounts t WHERE t.gitlab_origin = o.origin) AS accounts
  FROM (SELECT gitlab_origin AS origin FROM accounts UNION SELECT origin FROM hosts) AS o
  LEFT JOIN hosts h ON h.origin = o.origin) AS host"""


@attrs.frozen(kw_only=True)
class Budget:
    """What GitLab has said of its requests, and what that allows."""

    gitlab_origin: Annotated[str, Column("b.gitlab_origin"), doc("The origin of the GitLab.")]
    account_id: Annotated[
        str | None, Column("nullif(b.account_id, '')"), doc("Whose it is; null: that of the whole host.")
    ]
    name: Annotated[str | None, Column("nullif(b.name, '')"), doc("GitLab's name for the throttle; null: unknown.")]
    limit: Annotated[int | None, Column('b."limit"'), doc("Requests in all, as GitLab says.")]
    remaining: Annotated[
        int | None,
        Column("CASE WHEN b.reset_at > now() THEN b.remaining END"),
        doc("Requests that are left until `reset_at`; null once that has passed."),
    ]
    reset_at: Annotated[Time | None, Column("b.reset_at"), doc("When it is full again.")]
    closed_until: Annotated[Time | None, Column("b.closed_until"), doc("Until when GitLab has refused requests.")]
    requests_per_job: Annotated[float | None, Column("b.requests_per_job"), doc("What a job costs, as observed.")]
    jobs_allowed: Annotated[
        int | None, Column("l.jobs_allowed"), doc("Jobs at a time, until `until`; null: any number.")
    ]
    until: Annotated[Time | None, Column("l.until"), doc("Until when that holds.")]
    source: Annotated[
        Literal["crawler", "failure", "operator"], Column("b.source"), doc("Who has last said something of it.")
    ]
    updated_at: Annotated[Time, Column("b.updated_at"), doc("When.")]


BUDGETS = "budgets b LEFT JOIN low_budgets l USING (gitlab_origin, account_id, name)"
