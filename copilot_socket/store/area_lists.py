"""Lists and counts of areas, and what is known of the jobs on them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from copilot_socket.core.access import Within
from copilot_socket.core.jobs import Status
from copilot_socket.store import job_numbers
from copilot_socket.store.columns import columns
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.listing import Listing, Lists, Page, Record, containing, in_time, record
from copilot_socket.store.shown.accounts import Area
from copilot_socket.store.totals import COUNTED, Total, total

COUNTS, COMMANDS = "counts", "commands"
"""Shown on request: numbers of accounts and jobs; when each command was last completed."""
BY_COMMAND = "jobs_by_command"
"""Shown of one area."""
MOST_ACCOUNTS = 100
"""Accounts that are named as those that may see an area."""
DISCOVERY = "GROUP_PROJECT_DISCOVERY"
DAYS = (1, 7)
"""The last days for which new areas are counted."""

_CONDITIONS: Mapping[str, Sequence[str]] = {
    "type": ["type = %(type)s"],
    "gitlab_origin": ["gitlab_origin = %(gitlab_origin)s"],
    "account_id": [
        "gitlab_origin = (SELECT t.gitlab_origin FROM accounts t WHERE t.id = %(account_id)s)",
        "EXISTS (SELECT FROM area_authorizations z WHERE z.gitlab_origin = areas.gitlab_origin"
        " AND z.full_path = areas.full_path AND z.account_id = %(account_id)s)",
    ],
    "search": ["(full_path ILIKE %(search)s OR name ILIKE %(search)s)"],
    # '0' is the character after '/': the range is in the index, the rest excludes the neighbours ("a-b" of "a").
    "path_prefix": [
        'full_path COLLATE "C" >= %(path_prefix)s',
        "full_path COLLATE \"C\" < %(path_prefix)s || '0'",
        "(full_path = %(path_prefix)s OR starts_with(full_path, %(path_prefix)s || '/'))",
    ],
}
_FASTER = ("path_prefix", "gitlab_origin", "account_id")

_ACCOUNTS = f"""
SELECT a.number, (
  SELECT count(*) FROM (
    SELECT FROM area_authorizations z WHERE z.gitlab_origin = a.origin AND z.full_path = a.path
      AND (%(accounts)s::text[] IS NULL OR z.account_id = ANY (%(accounts)s)) LIMIT {COUNTED + 1}) AS counted)
FROM unnest(%(origin)s::text[], %(path)s::text[]) WITH ORDINALITY AS a (origin, path, number)
"""

_SEEN_BY = """
SELECT account_id FROM area_authorizations WHERE gitlab_origin = %(origin)s AND full_path = %(path)s
ORDER BY account_id LIMIT %(most)s
"""

# The origin of a job is that of its URL, which is seldom another one than its account's.
_JOBS = f"""
SELECT a.number, j.status, j.command, count(*), max(j.finished_at) FILTER (WHERE j.status = 'completed')
FROM unnest(%(origin)s::text[], %(path)s::text[]) WITH ORDINALITY AS a (origin, path, number)
CROSS JOIN LATERAL (
  SELECT j.status, j.command, j.finished_at FROM jobs j JOIN accounts t ON t.id = j.account_id
  WHERE coalesce(j.full_path, '') <> '' AND j.full_path COLLATE "C" BETWEEN a.path AND a.path
    AND CASE WHEN j.gitlab_url = t.gitlab_url THEN t.gitlab_origin ELSE copilot_origin(j.gitlab_url) END = a.origin
    AND (%(accounts)s::text[] IS NULL OR j.account_id = ANY (%(accounts)s))
  ORDER BY j.full_path COLLATE "C" DESC, j.id COLLATE "C" DESC LIMIT {COUNTED + 1}) AS j
GROUP BY a.number, j.status, j.command
"""

_BY_ORIGIN = f"""
WITH RECURSIVE origin AS (
  (SELECT gitlab_origin FROM areas ORDER BY gitlab_origin LIMIT 1)
  UNION ALL
  SELECT (SELECT a.gitlab_origin FROM areas a WHERE a.gitlab_origin > o.gitlab_origin
          ORDER BY a.gitlab_origin LIMIT 1)
  FROM origin o WHERE o.gitlab_origin IS NOT NULL
)
SELECT o.gitlab_origin, t.type, (
  SELECT count(*) FROM (
    SELECT FROM areas a WHERE a.gitlab_origin = o.gitlab_origin AND a.type = t.type LIMIT {COUNTED + 1}) AS counted)
FROM origin o CROSS JOIN (VALUES ('group'), ('project')) AS t (type) WHERE o.gitlab_origin IS NOT NULL
ORDER BY o.gitlab_origin, t.type
"""

_LAST_DISCOVERY = f"""
SELECT max(last.finished_at) FROM accounts t CROSS JOIN LATERAL (
  SELECT j.finished_at FROM jobs j
  WHERE j.account_id = t.id AND j.command = '{DISCOVERY}' AND j.status = 'completed' AND j.finished_at IS NOT NULL
  ORDER BY j.finished_at DESC LIMIT 1) AS last
"""


class AreaOrder(StrEnum):
    """The order of a list of areas; with ``-`` descending."""

    PATH = "full_path"
    CREATED = "created_at"


_KEYS = {
    AreaOrder.PATH: ["gitlab_origin", "full_path"],
    AreaOrder.CREATED: ["created_at", "gitlab_origin", "full_path"],
}


class AreaLists:
    """Reads from *database*."""

    def __init__(self, database: Database, lists: Lists) -> None:
        self._database = database
        self._lists = lists

    async def page(
        self,
        page: Page,
        filters: Mapping[str, Any],
        order: AreaOrder = AreaOrder.PATH,
        *,
        descending: bool = False,
        include: Collection[str] = (),
        within: Within | None = None,
    ) -> Listing:
        """Areas by *order*, by path of each GitLab. *filters*: by :data:`_CONDITIONS`.

        *include*: of :data:`COUNTS` and :data:`COMMANDS`, which count only accounts *within* a token's limits and
        their jobs. Raises :class:`.TooSlow`.
        """
        parameters = dict(filters)
        if "search" in filters:
            parameters["search"] = containing(filters["search"])
        listing = await self._lists.read(
            "areas",
            columns(Area),
            page,
            key=_KEYS[order],
            conditions=[condition for name in filters for condition in _CONDITIONS[name]],
            filters=parameters,
            descending=descending,
            faster=_FASTER,
        )
        if include and listing.rows:
            accounts = None if within is None else sorted(within.accounts or ())
            await in_time(self._database, lambda tx: _add(tx, listing.rows, include, accounts), "lower the limit")
        return listing

    async def one(self, origin: str, path: str) -> Record | None:
        """One area with all that is known of it; None if there is no such area. Raises :class:`.TooSlow`."""
        shown = columns(Area)
        given = {"origin": origin, "path": path, "most": MOST_ACCOUNTS}
        rows = await self._database.query(
            f"SELECT {', '.join(shown.values())} FROM areas"
            " WHERE gitlab_origin = %(origin)s AND full_path = %(path)s",
            given,
        )
        if not rows:
            return None
        area = record(list(shown), rows[0])
        include = {COUNTS, COMMANDS, BY_COMMAND}
        await in_time(self._database, lambda tx: _add(tx, [area], include, None), "too many jobs")
        return {**area, "account_ids": [account for (account,) in await self._database.query(_SEEN_BY, given)]}

    async def stats(self) -> Record:
        """Counts of areas and of the jobs that discover them. Raises :class:`.TooSlow`."""
        areas, found = await in_time(self._database, _count, "too many areas")
        [(last,)] = await self._database.query(_LAST_DISCOVERY)
        return {
            "areas": areas,
            "found": found,
            "discoveries": {
                "jobs": await job_numbers.by_command(self._database, DISCOVERY),
                "last_completed_at": last,
            },
        }


async def _add(tx: Transaction, rows: Sequence[Record], include: Collection[str], accounts: list[str] | None) -> None:
    which = {
        "origin": [row["gitlab_origin"] for row in rows],
        "path": [row["full_path"] for row in rows],
        "accounts": accounts,
    }
    jobs: list[job_numbers.Numbers] = [dict.fromkeys(map(str, Status), 0) for _ in rows]
    by_command: list[dict[str, job_numbers.Numbers]] = [{} for _ in rows]
    completed: list[dict[str, datetime]] = [{} for _ in rows]
    for number, status, command, count, last in await tx.query(_JOBS, which):
        jobs[number - 1][status] += count
        by_command[number - 1].setdefault(command, {})[status] = count
        if last is not None:
            completed[number - 1][command] = last
    if COUNTS in include:
        seen: dict[int, int] = dict(await tx.query(_ACCOUNTS, which))
        for number, row in enumerate(rows):
            row |= {"accounts": seen[number + 1], "jobs": jobs[number]}
    if COMMANDS in include:
        for row, times in zip(rows, completed, strict=True):
            row["last_completed"] = times
    if BY_COMMAND in include:
        for row, commands in zip(rows, by_command, strict=True):
            row["jobs_by_command"] = dict(sorted(commands.items()))


async def _count(tx: Transaction) -> tuple[list[Record], list[Record]]:
    areas = []
    for origin, kind, count in await tx.query(_BY_ORIGIN):
        counted = Total(count, True)
        if count > COUNTED:
            rows = "SELECT type FROM areas WHERE gitlab_origin = %(origin)s AND type = %(type)s"
            counted = await total(tx, rows, {"origin": origin, "type": kind})
        areas.append({"gitlab_origin": origin, "type": kind, **_shown(counted)})
    rows = "SELECT type FROM areas WHERE created_at >= now() - %(days)s * interval '1 day'"
    found = [{"days": days, **_shown(await total(tx, rows, {"days": days}))} for days in DAYS]
    return areas, found


def _shown(counted: Total) -> Record:
    return {"total": counted.count, "total_exact": counted.exact}
