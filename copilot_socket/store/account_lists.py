"""Lists of accounts, never with their tokens."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any

from copilot_socket.core.access import Within
from copilot_socket.store import job_numbers
from copilot_socket.store.columns import columns
from copilot_socket.store.database import Database
from copilot_socket.store.lanes import lanes_of
from copilot_socket.store.listing import Listing, Lists, Page, Record, containing, record
from copilot_socket.store.shown.accounts import Account

JOBS, LANES = "jobs", "lanes"
"""Shown on request: how many jobs an account has by state; by command, and what holds them back."""

_CONDITIONS: Mapping[str, str] = {
    "search": "(id ILIKE %(search)s OR gitlab_url ILIKE %(search)s)",
    "credential_status": "credential_status = %(credential_status)s",
    "token_expires_before": "token_expires_at < %(token_expires_before)s",
    "gitlab_origin": "gitlab_origin = %(gitlab_origin)s",
}


class AccountOrder(StrEnum):
    """The order of a list of accounts; those without the time are not listed by it."""

    ID = "id"
    TOKEN_EXPIRES = "token_expires_at"


class AccountLists:
    """Reads from *database*."""

    def __init__(self, database: Database, lists: Lists) -> None:
        self._database = database
        self._lists = lists

    async def page(
        self,
        page: Page,
        filters: Mapping[str, Any],
        order: AccountOrder = AccountOrder.ID,
        *,
        within: Within | None = None,
        include: Collection[str] = (),
    ) -> Listing:
        """Accounts *within* a token's limits.

        *filters*: by :data:`_CONDITIONS`; *include*: of :data:`JOBS` and :data:`LANES`.
        """
        conditions = [_CONDITIONS[name] for name in filters]
        parameters = dict(filters)
        if within is not None:
            conditions.append("id = ANY (%(within)s)" if within.users is None else "false")
            parameters["within"] = sorted(within.accounts or ())
        if order is not AccountOrder.ID:
            conditions.append(f"{order} IS NOT NULL")
        if "search" in filters:
            parameters["search"] = containing(filters["search"])
        listing = await self._lists.read(
            "accounts",
            columns(Account),
            page,
            key=list(dict.fromkeys([str(order), "id"])),
            conditions=conditions,
            filters=parameters,
        )
        await self._add(listing.rows, include)
        return listing

    async def one(self, account_id: str, include: Collection[str] = ()) -> Record | None:
        """One account; None if there is no such account."""
        shown = columns(Account)
        rows = await self._database.query(
            f"SELECT {', '.join(shown.values())} FROM accounts WHERE id = %(id)s", {"id": account_id}
        )
        found = [record(list(shown), row) for row in rows]
        await self._add(found, include)
        return found[0] if found else None

    async def _add(self, rows: Collection[Record], include: Collection[str]) -> None:
        if JOBS in include:
            numbers = await job_numbers.by_account(self._database, [row["id"] for row in rows])
            for row in rows:
                row[JOBS] = numbers[row["id"]]
        if LANES in include and rows:
            lanes = await lanes_of(self._database, [row["id"] for row in rows])
            for row in rows:
                row[LANES] = lanes[row["id"]]
