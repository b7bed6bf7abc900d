"""What may be looked at from outside: jobs, accounts, areas, crawlers, counts. Reads only, and never a token.

Rows become JSON objects with the names of the columns; times are aware datetimes in UTC, jsonb stays JSON text.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs
import orjson

from copilot_socket.core import cursor
from copilot_socket.core.jobs import Status
from copilot_socket.store.database import Database
from copilot_socket.store.sql import ROUTES, sql

Record = dict[str, Any]
LATEST_ERRORS = 100
JOB_FILTERS = ("status", "account_id", "command", "full_path")
AREA_FILTERS = ("type", "account_id")


@attrs.frozen
class Page:
    """Where in a list to go on, and how many rows at most. ``after`` is the key of the last row seen."""

    limit: int = 100
    after: str | None = None


@attrs.frozen
class Listing:
    """A part of a list; ``next`` is the cursor of the part after it, None at the end."""

    rows: Sequence[Record]
    next: str | None


_JOB = (
    "id", "created_at", "updated_at", "started_at", "finished_at", "scheduled_at", "status", "command",
    "full_path", "branch", "account_id", "user_id", "provider", "gitlab_url", "spawned_from", "priority", "attempts",
    "max_attempts", "releases", "resume_state", "progress",
)  # fmt: skip
_ASSIGNMENT = (
    "web_app_job_id", "crawler_job_id", "account_id", "user_id", "created_at", "assigned_at", "completed_at",
    "status", "metadata", "try", "crawler_key", "started_at", "reported_at",
)  # fmt: skip
_TRY = (
    "job_id", "try", "crawler_job_id", "crawler_key", "assigned_at", "started_at", "ended_at", "outcome", "reason",
)  # fmt: skip
_ERROR = (
    "id", "job_id", "timestamp", "error_type", "error_message", "stack_trace", "context", "retry_count",
    "is_recoverable", "resolution",
)  # fmt: skip
_ACCOUNT = (
    "id", "provider", "gitlab_url", "has_refresh_token", "token_expires_at", "credential_status", "credential_error",
    "credential_checked_at", "created_at", "updated_at",
)  # fmt: skip
_AREA = ("full_path", "gitlab_id", "name", "type", "created_at")
_CRAWLER = (
    "id", "key", "node_id", "plain", "connected", "max_jobs", "entity_types", "active_jobs", "last_heartbeat",
    "system_status", "connections", "first_seen",
)  # fmt: skip
_NO_FILTERS: Mapping[str, str] = MappingProxyType({})
_JSONB = frozenset({"resume_state", "progress", "metadata", "context"})

_ACCOUNTS = """
SELECT id, provider, gitlab_url, refresh_token IS NOT NULL, token_expires_at, credential_status, credential_error,
       credential_checked_at, created_at, updated_at
FROM accounts
"""

_CRAWLERS = """
SELECT c.crawler_id, c.key, c.node_id, c.plain, c.lease_expires_at > now(), c.max_jobs, c.entity_types, held.jobs,
       seen.last_heartbeat, seen.system_status, seen.connections, c.first_seen
FROM crawlers c
CROSS JOIN LATERAL (
  SELECT coalesce(array_agg(a.crawler_job_id ORDER BY a.web_app_job_id), '{}') AS jobs FROM job_assignments a
  WHERE a.crawler_key = c.key AND a.completed_at IS NULL) AS held
CROSS JOIN LATERAL (
  SELECT count(*) AS connections, max(s.last_heartbeat) AS last_heartbeat,
         (array_agg(s.system_status ORDER BY s.last_heartbeat DESC NULLS LAST)
            FILTER (WHERE s.system_status IS NOT NULL))[1] AS system_status
  FROM socket_connections s WHERE s.crawler_key = c.key AND s.is_active) AS seen
"""

_CRAWLER_COUNTS = """
SELECT count(*) FILTER (WHERE lease_expires_at > now()), count(*) FILTER (WHERE lease_expires_at > now() AND plain),
       count(*), (SELECT count(*) FROM job_assignments WHERE completed_at IS NULL)
FROM crawlers
"""

_QUEUE_COUNTS = """
SELECT count(*) FILTER (WHERE ready), count(*) FILTER (WHERE NOT ready) FROM jobs WHERE status = 'queued'
"""


class Catalog:
    """Reads from *database*."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def jobs(self, page: Page, filters: Mapping[str, str]) -> Listing:
        """Jobs, newest first. *filters*: by :data:`JOB_FILTERS`."""
        conditions = [f"{name} = %({name})s" for name in JOB_FILTERS if name in filters]
        select = f"SELECT {_columns(_JOB)} FROM jobs"
        return await self._list(select, _JOB, page, key="id", conditions=conditions, filters=filters, descending=True)

    async def job(self, job_id: str) -> Record | None:
        """One job with its current or last ``assignment``, the ``tries`` that ended and its latest ``errors``."""
        params = {"id": job_id, "limit": LATEST_ERRORS}
        rows = await self._database.query(f"SELECT {_columns(_JOB)} FROM jobs WHERE id = %(id)s", params)
        if not rows:
            return None
        assignments = await self._database.query(
            f"SELECT {_columns(_ASSIGNMENT)} FROM job_assignments WHERE web_app_job_id = %(id)s", params
        )
        tries = await self._database.query(
            f"SELECT {_columns(_TRY)} FROM job_tries WHERE job_id = %(id)s ORDER BY try", params
        )
        errors = await self._database.query(
            f"SELECT {_columns(_ERROR)} FROM job_error_log WHERE job_id = %(id)s ORDER BY id DESC LIMIT %(limit)s",
            params,
        )
        return _record(_JOB, rows[0]) | {
            "assignment": _record(_ASSIGNMENT, assignments[0]) if assignments else None,
            "tries": [_record(_TRY, row) for row in tries],
            "errors": [_record(_ERROR, row) for row in reversed(errors)],
        }

    async def accounts(self, page: Page) -> Listing:
        """Accounts by id, without their tokens."""
        return await self._list(_ACCOUNTS, _ACCOUNT, page, key="id")

    async def account(self, account_id: str) -> Record | None:
        """One account, without its tokens."""
        rows = await self._database.query(f"{_ACCOUNTS} WHERE id = %(id)s", {"id": account_id})
        return _record(_ACCOUNT, rows[0]) if rows else None

    async def areas(self, page: Page, filters: Mapping[str, str]) -> Listing:
        """Areas by path. *filters*: ``type``, and ``account_id`` for those that this account may see."""
        conditions = ["type = %(type)s"] if "type" in filters else []
        if "account_id" in filters:
            conditions.append(
                "EXISTS (SELECT FROM area_authorizations z"
                " WHERE z.full_path = areas.full_path AND z.account_id = %(account_id)s)"
            )
        select = f"SELECT {_columns(_AREA)} FROM areas"
        return await self._list(select, _AREA, page, key="full_path", conditions=conditions, filters=filters)

    async def crawlers(self, page: Page) -> Listing:
        """Crawlers by key, with what each holds and how it was last seen."""
        return await self._list(_CRAWLERS, _CRAWLER, page, key="key")

    async def stats(self) -> Record:
        """How many jobs stand in each state, how the queue is, how many crawlers there are."""
        query = self._database.query
        counted: dict[str, int] = dict(await query(sql("count_jobs")))
        [(ready, scheduled)] = await query(_QUEUE_COUNTS)
        [(oldest,)] = await query(sql("queue_age"))
        [(unroutable,)] = await query(sql("unroutable"), ROUTES)
        [(connected, plain, known, held)] = await query(_CRAWLER_COUNTS)
        return {
            "jobs": {str(status): counted.get(str(status), 0) for status in Status},
            "queue": {
                "ready": ready,
                "scheduled": scheduled,
                "oldest_seconds": max(oldest, 0.0),
                "unroutable": unroutable,
            },
            "crawlers": {"connected": connected, "plain": plain, "known": known, "assignments": held},
        }

    async def _list(
        self,
        select: str,
        columns: Sequence[str],
        page: Page,
        *,
        key: str,
        conditions: Sequence[str] = (),
        filters: Mapping[str, str] = _NO_FILTERS,
        descending: bool = False,
    ) -> Listing:
        after = [] if page.after is None else [f"{key} {'<' if descending else '>'} %(after)s"]
        where = " AND ".join([*conditions, *after])
        rows = await self._database.query(
            f"{select}{' WHERE ' + where if where else ''}"
            f" ORDER BY {key}{' DESC' if descending else ''} LIMIT %(limit)s",
            {**filters, "after": page.after, "limit": page.limit + 1},
        )
        records = [_record(columns, row) for row in rows[: page.limit]]
        more = len(rows) > page.limit
        return Listing(records, cursor.encode(records[-1][key]) if more else None)


def _columns(names: Sequence[str]) -> str:
    return ", ".join(f"{name}::text" if name in _JSONB else f'"{name}"' for name in names)


def _record(names: Sequence[str], row: Sequence[Any]) -> Record:
    return {
        name: orjson.Fragment(value) if name in _JSONB and value is not None else value
        for name, value in zip(names, row, strict=True)
    }
