"""Groups of errors with the same fingerprint: what people see of them, and what they do about them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import attrs

from copilot_socket.core.acts import Act
from copilot_socket.core.error_groups import GroupStatus, status_of, unit_of
from copilot_socket.store.audit import record as record_acts
from copilot_socket.store.columns import columns
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.listing import Listing, Lists, Page, Record, bounded, record
from copilot_socket.store.shown.errors import ErrorGroup, ErrorSample
from copilot_socket.store.sql import sql

MOST_JOBS = 10_000
"""Failed jobs of a group are counted up to one more."""
MOST_SHOWN = 100
"""Hours or days that a list shows of the history of each group."""
HISTORY = "history"
"""Shown on request in lists."""
TOP = 10
"""Accounts that are shown of a group: those with most errors."""
DEFAULT = frozenset(GroupStatus) - {GroupStatus.IGNORED}
"""The states of groups that are listed where none is asked for."""
IN_STATUS: Mapping[GroupStatus, str] = MappingProxyType(
    {
        GroupStatus.OPEN: "ignored_at IS NULL AND errors_at_retry IS NULL",
        GroupStatus.RETRIED: "ignored_at IS NULL AND errors <= errors_at_retry",
        GroupStatus.REGRESSED: "ignored_at IS NULL AND errors > errors_at_retry",
        GroupStatus.IGNORED: "ignored_at IS NOT NULL",
    }
)
"""The same as :func:`.status_of` decides, as conditions."""
RANGE: Mapping[str, str] = MappingProxyType(
    {
        "account_id": "c.account_id = %(account_id)s",
        "since": "c.hour >= date_trunc('hour', %(since)s::timestamptz)",
        "until": "c.hour < %(until)s",
    }
)
"""Filters of what is counted: all hours that the time touches."""
_FILTERS: Mapping[str, str] = MappingProxyType(
    {
        "command": "command = %(command)s",
        "error_type": "error_type = %(error_type)s",
        # Beside its counts: what an index finds.
        "since": "last_at >= date_trunc('hour', %(since)s::timestamptz)",
        "until": "first_at < %(until)s",
    }
)


class ErrorGroups:
    """Reads and changes groups of errors over *database*."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lists = Lists(database)

    async def groups(self, page: Page, filters: Mapping[str, Any], include: Collection[str] = ()) -> Listing:
        """Groups, those that occurred last first.

        *filters*: ``status`` (a set), ``command``, ``error_type``; with those of :data:`RANGE` only groups with such
        errors, and only these are counted. *include*: of :data:`HISTORY`.
        """
        wanted = map(GroupStatus, sorted(filters.get("status", DEFAULT)))
        conditions = [
            f"({' OR '.join(IN_STATUS[status] for status in wanted)})",
            *[condition for name, condition in _FILTERS.items() if name in filters],
        ]
        counted = _in_range(filters)
        if counted:
            # A scalar subquery: looked up group by group, until a page is full.
            counts = (
                f"SELECT true FROM error_counts c WHERE c.fingerprint = error_groups.fingerprint{counted} LIMIT 1"
            )
            conditions.append(f"({counts})")
        listing = await self._lists.read(
            "error_groups",
            columns(ErrorGroup),
            page,
            key=["last_at", "fingerprint"],
            conditions=conditions,
            filters=filters,
            descending=True,
        )
        groups = await self._with_counts(listing.rows, filters)
        if HISTORY in include and groups:
            await self._add_histories(groups, filters)
        return attrs.evolve(listing, rows=groups)

    async def group(self, fingerprint: str, filters: Mapping[str, Any]) -> Record | None:
        """One group, with its ``history``, the ``top_accounts``, and its latest error as a ``sample``.

        *filters*: those of :data:`RANGE`. None if there is no such group.
        """
        params = {**filters, "fingerprint": fingerprint, "fingerprints": [fingerprint]}
        query = self._database.query
        shown = columns(ErrorGroup)
        rows = await query(
            f"SELECT {', '.join(shown.values())} FROM error_groups WHERE fingerprint = %(fingerprint)s", params
        )
        if not rows:
            return None
        [group] = await self._with_counts([record(list(shown), rows[0])], filters)
        unit = _unit(group, filters)
        history = await query(_counting("error_history", filters), {**params, "unit": unit})
        top = await query(_counting("error_accounts", filters), {**params, "limit": TOP})
        samples = await query(f"SELECT {bounded(columns(ErrorSample))} {sql('latest_error')}", params)
        return {
            **group,
            "history_unit": unit,
            "history": [{"start": start, "errors": errors} for start, errors in history],
            "top_accounts": [{"account_id": account, "errors": errors} for account, errors in top],
            "sample": record([*columns(ErrorSample), "truncated"], samples[0]) if samples else None,
        }

    async def ignore(self, fingerprint: str, act: Act) -> GroupStatus | None:
        """List a group no more unless asked for, by *act*; its status, None if there is no such group."""
        return await self._change("ignore_errors", fingerprint, act)

    async def unignore(self, fingerprint: str, act: Act) -> GroupStatus | None:
        """Take that back, by *act*; its status, None if there is no such group."""
        return await self._change("unignore_errors", fingerprint, act)

    async def _change(self, statement: str, fingerprint: str, act: Act) -> GroupStatus | None:
        params = {"fingerprint": fingerprint, "by": act.actor.name}

        async def work(tx: Transaction) -> GroupStatus | None:
            if await tx.query(sql(statement), params):
                await record_acts(tx, act.on(fingerprint))
            rows = await tx.query(sql("error_status"), params)
            return _status(*rows[0]) if rows else None

        return await self._database.transaction(work)

    async def _add_histories(self, groups: Sequence[Record], filters: Mapping[str, Any]) -> None:
        units = {group["fingerprint"]: _unit(group, filters) for group in groups}
        histories: dict[str, list[Record]] = {fingerprint: [] for fingerprint in units}
        given = {"fingerprints": list(units), "units": list(units.values()), "most": MOST_SHOWN}
        for fingerprint, start, errors in await self._database.query(
            _counting("error_histories", filters), {**filters, **given}
        ):
            histories[fingerprint].append({"start": start, "errors": errors})
        for group in groups:
            fingerprint = group["fingerprint"]
            group |= {"history_unit": units[fingerprint], "history": histories[fingerprint]}

    async def _with_counts(self, groups: Sequence[Record], filters: Mapping[str, Any]) -> list[Record]:
        """*groups*, each with its status, and with what is counted."""
        if not groups:
            return []
        fingerprints = [group["fingerprint"] for group in groups]
        params = {**filters, "fingerprints": fingerprints, "most": MOST_JOBS}
        rows = await self._database.query(_counting("error_group_counts", filters), params)
        counts = {fingerprint: counted for fingerprint, *counted in rows}
        shown = []
        for group in groups:
            errors, accounts, jobs_failed = counts[group["fingerprint"]]
            status = _status(group["ignored_at"], group["errors_since_retry"])
            shown.append(
                {**group, "status": status, "errors": errors, "accounts": accounts, "jobs_failed": jobs_failed}
            )
        return shown


async def mark_retried(tx: Transaction, fingerprint: str, act: Act) -> bool:
    """Mark a group as retried in *tx*, which has its failed jobs retried by *act*; whether there is such a group."""
    rows = await tx.query(sql("errors_retried"), {"fingerprint": fingerprint, "by": act.actor.name})
    if rows:
        await record_acts(tx, act.on(fingerprint))
    return bool(rows)


def _status(ignored_at: datetime | None, errors_since_retry: int | None) -> GroupStatus:
    return status_of(ignored=ignored_at is not None, errors_since_retry=errors_since_retry)


def _unit(group: Record, filters: Mapping[str, Any]) -> str:
    """The unit of its history, as far as it is counted."""
    return unit_of(
        max(group["first_at"], _time(filters, "since") or group["first_at"]),
        min(group["last_at"], _time(filters, "until") or group["last_at"]),
    )


def _counting(name: str, filters: Mapping[str, Any]) -> str:
    """The statement *name*, of what is "counted" of groups."""
    which = f"c.fingerprint = ANY (%(fingerprints)s){_in_range(filters)}"
    return f"WITH counted AS (SELECT * FROM error_counts c WHERE {which}) {sql(name)}"


def _in_range(filters: Mapping[str, Any]) -> str:
    return "".join(f" AND {condition}" for name, condition in RANGE.items() if name in filters)


def _time(filters: Mapping[str, Any], name: str) -> datetime | None:
    return datetime.fromisoformat(filters[name]) if name in filters else None
