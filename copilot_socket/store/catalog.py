"""The read side of the HTTP API: jobs, accounts, areas, crawlers, counts. Never a token.

Rows become JSON objects with the names of the columns; times are aware datetimes in UTC, jsonb stays JSON text. The
database bounds the result of each call in bytes, so that no more than that is ever transferred.
"""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs
import orjson
from twisted.internet.defer import DeferredSemaphore

from copilot_socket.core import cursor
from copilot_socket.core.jobs import Status
from copilot_socket.core.why import explain
from copilot_socket.store.counts import count_jobs
from copilot_socket.store.database import Database
from copilot_socket.store.shown import (
    ACCOUNT,
    AREA,
    ASSIGNMENT,
    AUDIT,
    BUDGET,
    CRAWLER,
    CRAWLERS,
    ERROR,
    HOST,
    HOSTS,
    JOB,
    PAUSE,
    TRY,
)
from copilot_socket.store.why import facts_of

Record = dict[str, Any]
LARGE_PAGE = 100
"""Rows up to which any number of pages is read concurrently."""
LARGE_READS = 2
"""Pages of more than ``LARGE_PAGE`` rows that are read concurrently: decoding each takes some milliseconds."""
LATEST = 100
"""Past attempts and errors that are shown with a job, at most."""
PAGE_BYTES = 4 * 1024 * 1024
"""A page of a list ends with the row that reaches this size."""
ERROR_BYTES = 1024 * 1024
"""A job's errors are complete, newest first, up to the one that reaches this size; the others lack details."""
VALUE_BYTES = 1024 * 1024
"""The largest jsonb value that is shown."""
MESSAGE_CHARACTERS = 1000
"""The length of the message of an error without details."""
JOB_FILTERS = ("status", "account_id", "command", "full_path")
AUDIT_FILTERS = {
    # The indexes are on as much of the text as always fits.
    "actor": "left(actor, 255) = left(%(actor)s, 255) AND actor = %(actor)s",
    "target": "left(target, 255) = left(%(target)s, 255) AND target = %(target)s",
    "door": "door = %(door)s",
    "action": "action = %(action)s",
    "outcome": "outcome = %(outcome)s",
    "after": "timestamp >= %(after)s",
    "before": "timestamp < %(before)s",
}
LARGE_JOB_COLUMNS = ("resume_state", "progress")
"""Listed on request only."""


@attrs.frozen
class Page:
    """A page of a list: up to ``limit`` rows behind the one with the key ``after``, or from the start."""

    limit: int = 100
    after: str | None = None


@attrs.frozen
class Listing:
    """A part of a list; ``next`` is the cursor of the part after it, None at the end."""

    rows: Sequence[Record]
    next: str | None


_NO_FILTERS: Mapping[str, str] = MappingProxyType({})
_JSONB = frozenset({"resume_state", "progress", "metadata", "context", "details"})

# The sizes of one row more than a page first; then only the rows that fit.
_LIST = """
WITH page AS (
  SELECT {names}, octet_length(row_to_json(r)::text) AS size
  FROM (SELECT {keys}, {raw} FROM {tables} {where} ORDER BY {order} LIMIT %(limit)s + 1) AS r
), fitting AS (
  SELECT {names}, sum(size) OVER (ORDER BY {order_of_names}) - size AS before, count(*) OVER () AS found FROM page
)
SELECT {columns}, fitting.found FROM {tables} JOIN fitting ON ({names}) = ({key})
WHERE fitting.before < %(bytes)s ORDER BY {order} LIMIT %(limit)s
"""

_TRIES = f"""
SELECT {", ".join(TRY.values())}, count(*) OVER () FROM job_tries WHERE job_id = %(id)s ORDER BY try DESC
LIMIT {LATEST}
"""

_ERRORS = f"""
SELECT id, job_id, timestamp, error_type,
       CASE WHEN shown THEN error_message ELSE left(error_message, {MESSAGE_CHARACTERS}) END,
       CASE WHEN shown THEN stack_trace END, CASE WHEN shown THEN context::text END, retry_count, is_recoverable,
       resolution, cause,
       array_remove(ARRAY[
         CASE WHEN NOT shown AND length(error_message) > {MESSAGE_CHARACTERS} THEN 'error_message' END,
         CASE WHEN NOT shown AND stack_trace IS NOT NULL THEN 'stack_trace' END,
         CASE WHEN NOT shown AND context IS NOT NULL THEN 'context' END], NULL),
       (SELECT count(*) FROM job_error_log WHERE job_id = %(id)s)
FROM (SELECT l.*, sum(size) OVER (ORDER BY id DESC) - size < {ERROR_BYTES} AS shown
      FROM (SELECT e.*, octet_length(row_to_json(e)::text) AS size
            FROM job_error_log e WHERE job_id = %(id)s ORDER BY id DESC LIMIT {LATEST}) AS l) AS sized
ORDER BY id DESC
"""

_CRAWLER_COUNTS = """
SELECT count(*) FILTER (WHERE lease_expires_at > now()), count(*) FILTER (WHERE lease_expires_at > now() AND plain),
       count(*),
       (SELECT count(*) FROM job_assignments WHERE completed_at IS NULL AND crawler_key IS NOT NULL)
FROM crawlers
"""


class Catalog:
    """Reads from *database*."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._large_reads = DeferredSemaphore(LARGE_READS)

    async def jobs(self, page: Page, filters: Mapping[str, str], include: Collection[str] = frozenset()) -> Listing:
        """Jobs, newest first. *filters*: by :data:`JOB_FILTERS`; *include*: of :data:`LARGE_JOB_COLUMNS`."""
        conditions = [f"{name} = %({name})s" for name in JOB_FILTERS if name in filters]
        columns = {name: given for name, given in JOB.items() if name not in LARGE_JOB_COLUMNS or name in include}
        return await self._list(
            "jobs", columns, page, key=["id"], conditions=conditions, filters=filters, descending=True
        )

    async def job(self, job_id: str) -> Record | None:
        """One job with its current or last ``assignment``, the ``history`` of ended attempts, and ``errors``.

        Of ``history`` and ``errors`` the latest are included; ``history_total`` and ``errors_total`` count all.
        ``truncated`` names the fields that are too large to be shown: they are null, or shortened. None if there is
        no such job.
        """
        params = {"id": job_id}
        rows = await self._database.query(f"SELECT {_bounded(JOB)} FROM jobs WHERE id = %(id)s", params)
        if not rows:
            return None
        assignments = await self._database.query(
            f"SELECT {_bounded(ASSIGNMENT)} FROM job_assignments WHERE web_app_job_id = %(id)s", params
        )
        tries = await self._database.query(_TRIES, params)
        errors = await self._database.query(_ERRORS, params)
        return _record([*JOB, "truncated"], rows[0]) | {
            "assignment": _record([*ASSIGNMENT, "truncated"], assignments[0]) if assignments else None,
            "history": [_record(list(TRY), row[:-1]) for row in reversed(tries)],
            "history_total": tries[0][-1] if tries else 0,
            "errors": [_record([*ERROR, "truncated"], row[:-1]) for row in reversed(errors)],
            "errors_total": errors[0][-1] if errors else 0,
        }

    async def why(self, job_id: str) -> Record | None:
        """Why a job is in its state, or does not run; None if there is no such job."""
        facts = await facts_of(self._database, job_id)
        if facts is None:
            return None
        why = explain(facts)
        reasons = [{"code": each.code, "text": each.text, **each.details} for each in why.reasons]
        return {"id": job_id, "status": facts.job.status, "sentence": why.sentence, "reasons": reasons}

    async def accounts(self, page: Page) -> Listing:
        """Accounts by id, without their tokens."""
        return await self._list("accounts", ACCOUNT, page, key=["id"])

    async def account(self, account_id: str) -> Record | None:
        """One account, without its tokens; None if there is no such account."""
        columns = ", ".join(ACCOUNT.values())
        rows = await self._database.query(f"SELECT {columns} FROM accounts WHERE id = %(id)s", {"id": account_id})
        return _record(list(ACCOUNT), rows[0]) if rows else None

    async def areas(self, page: Page, filters: Mapping[str, str]) -> Listing:
        """Areas by origin and path.

        *filters*: ``type``, ``gitlab_origin``, and ``account_id`` for the areas that this account may see.
        """
        conditions = [f"{name} = %({name})s" for name in ("type", "gitlab_origin") if name in filters]
        if "account_id" in filters:
            conditions += [
                "gitlab_origin = (SELECT t.gitlab_origin FROM accounts t WHERE t.id = %(account_id)s)",
                "EXISTS (SELECT FROM area_authorizations z WHERE z.gitlab_origin = areas.gitlab_origin"
                " AND z.full_path = areas.full_path AND z.account_id = %(account_id)s)",
            ]
        return await self._list(
            "areas", AREA, page, key=["gitlab_origin", "full_path"], conditions=conditions, filters=filters
        )

    async def crawlers(self, page: Page) -> Listing:
        """Crawlers by key, with the assignments that each holds and its last heartbeat."""
        return await self._list(CRAWLERS, CRAWLER, page, key=["c.key"])

    async def pauses(self, page: Page) -> Listing:
        """The pauses in force, oldest first."""
        return await self._list("pauses", PAUSE, page, key=["id"])

    async def pause(self, pause_id: str) -> Record | None:
        """One pause; None if it is not in force."""
        columns = ", ".join(PAUSE.values())
        rows = await self._database.query(f"SELECT {columns} FROM pauses WHERE id = %(id)s", {"id": pause_id})
        return _record(list(PAUSE), rows[0]) if rows else None

    async def budgets(self, page: Page, only: tuple[str, str, str] | None = None) -> Listing:
        """Budgets by host, account and name; *only* one of them."""
        names = ("gitlab_origin", "account_id", "name")
        filters = dict(zip(names, only, strict=True)) if only else {}
        conditions = [f"b.{name} = %({name})s" for name in filters]
        return await self._list(
            "budgets b LEFT JOIN low_budgets l USING (gitlab_origin, account_id, name)",
            BUDGET,
            page,
            key=[f"b.{name}" for name in names],
            conditions=conditions,
            filters=filters,
        )

    async def hosts(self, page: Page) -> Listing:
        """GitLab hosts by origin."""
        return await self._list(HOSTS, HOST, page, key=["origin"])

    async def audit(self, page: Page, filters: Mapping[str, str]) -> Listing:
        """Acts and refusals, newest first. *filters*: by :data:`AUDIT_FILTERS`."""
        conditions = [condition for name, condition in AUDIT_FILTERS.items() if name in filters]
        return await self._list(
            "audit_log", AUDIT, page, key=["id"], conditions=conditions, filters=filters, descending=True
        )

    async def stats(self) -> Record:
        """Counts: jobs by state, the queue, and crawlers."""
        query = self._database.query
        jobs = await count_jobs(self._database)
        queued = jobs.by_status[Status.QUEUED]
        scheduled = min(jobs.scheduled, queued)  # some may have been queued since the first count
        held_back = min(jobs.held_back, queued - scheduled)
        [(connected, plain, known, held)] = await query(_CRAWLER_COUNTS)
        return {
            "jobs": {str(status): count for status, count in jobs.by_status.items()},
            "queue": {
                "ready": queued - scheduled - held_back,
                "held_back": held_back,
                "scheduled": scheduled,
                "oldest_seconds": jobs.oldest,
                "unroutable": sum(jobs.unroutable.values()),
                "unroutable_commands": jobs.unroutable,
            },
            "crawlers": {"connected": connected, "plain": plain, "known": known, "assignments": held},
        }

    async def _list(
        self,
        tables: str,
        columns: Mapping[str, str],
        page: Page,
        *,
        key: Sequence[str],
        conditions: Sequence[str] = (),
        filters: Mapping[str, str] = _NO_FILTERS,
        descending: bool = False,
    ) -> Listing:
        after = {} if page.after is None else _parts(page.after, len(key))
        if after:
            marks = ", ".join(f"%({name})s" for name in after)
            conditions = [*conditions, f"({', '.join(key)}) {'<' if descending else '>'} ({marks})"]
        where = " AND ".join(conditions)
        names = [f"page_key_{number}" for number in range(len(key))]
        direction = " DESC" if descending else ""
        large = [name for name in columns if name in _JSONB]
        statement = _LIST.format(
            key=", ".join(key),
            keys=", ".join(f"{given} AS {name}" for given, name in zip(key, names, strict=True)),
            names=", ".join(names),
            order=", ".join(given + direction for given in key),
            order_of_names=", ".join(name + direction for name in names),
            raw=", ".join(f'{given} AS "{name}"' for name, given in columns.items()),
            columns=_bounded(columns) if large else ", ".join(columns.values()),
            tables=tables,
            where=f"WHERE {where}" if where else "",
        )
        parameters = {**filters, **after, "limit": page.limit, "bytes": PAGE_BYTES}
        if page.limit > LARGE_PAGE:
            await self._large_reads.acquire()
        try:
            rows = await self._database.query(statement, parameters)
        finally:
            if page.limit > LARGE_PAGE:
                self._large_reads.release()
        shown = [*columns, "truncated"] if large else list(columns)
        records = [_record(shown, row[:-1]) for row in rows]
        more = bool(rows) and rows[0][-1] > len(rows)
        last = [records[-1][given.rpartition(".")[2]] or "" for given in key] if more else None
        return Listing(records, None if last is None else cursor.encode(orjson.dumps(last).decode()))


def _parts(after: str, count: int) -> dict[str, str]:
    """The parts of a key as parameters: *count* of them, also for the key of another list."""
    try:
        found = [str(part) for part in orjson.loads(after)]
    except (ValueError, TypeError):
        found = [after]
    return {f"after_{number}": part for number, part in enumerate((found + [""] * count)[:count])}


def _bounded(columns: Mapping[str, str]) -> str:
    """A select list: *columns*, jsonb as text or null where it is too large, and an array of the names of these."""
    large = [name for name in columns if name in _JSONB]
    shown = [
        f"CASE WHEN octet_length({given}::text) <= {VALUE_BYTES} THEN {given}::text END" if name in large else given
        for name, given in columns.items()
    ]
    truncated = [f"CASE WHEN octet_length({columns[name]}::text) > {VALUE_BYTES} THEN '{name}' END" for name in large]
    return ", ".join([*shown, f"array_remove(ARRAY[{', '.join(truncated)}], NULL)"])


def _record(names: Sequence[str], row: Sequence[Any]) -> Record:
    return {
        name: orjson.Fragment(value) if name in _JSONB and value is not None else value
        for name, value in zip(names, row, strict=True)
    }
