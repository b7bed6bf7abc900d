"""Lists and counts of jobs by any filter, in bounded time (docs/http.md, "Finding jobs")."""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum

from copilot_socket.core.jobs import Status
from copilot_socket.store.columns import columns
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.job_filters import ENUMERATED, INDEXED, SELECTIVE, WITH_PATH, JobFilter
from copilot_socket.store.listing import Listing, Lists, Page, add_one_of, branch_values, candidates, in_time
from copilot_socket.store.shown.jobs import Job
from copilot_socket.store.sql import sql
from copilot_socket.store.totals import COUNTED, Total, total

LARGE_COLUMNS = ("resume_state", "progress")
"""Listed on request only."""
CHILDREN = "children"
"""Also listed on request only: the number of jobs that a job has spawned."""
MOST_BRANCHES = 200
"""Accounts or users times states up to which each combination is looked up in an index of its own."""

_ID = 'id COLLATE "C"'
"""As all indexes but that of the primary key have it."""
_CHILDREN = f"""
(SELECT count(*) FROM (SELECT FROM jobs child WHERE child.spawned_from = jobs.id LIMIT {COUNTED + 1}) AS children)
"""


class Order(StrEnum):
    """The order of a list; with ``-`` descending."""

    CREATED = "created_at"
    UPDATED = "updated_at"
    FINISHED = "finished_at"
    PATH = "full_path"

    def key(self, which: JobFilter) -> tuple[str, ...]:
        """The columns by which rows are ordered, for which there are indexes. Ids are in the order of creation."""
        match self:
            case Order.CREATED if not which.given.keys() & {"created_after", "created_before"}:
                return (_ID if _branches(which, self) else "id",)
            case Order.PATH:
                return ('full_path COLLATE "C"', _ID)
            case _:
                return (str(self), _ID)


class JobLists:
    """Reads from *database*."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lists = Lists(database)

    async def page(
        self,
        page: Page,
        which: JobFilter,
        order: Order = Order.CREATED,
        *,
        descending: bool = True,
        include: Collection[str] = frozenset(),
    ) -> Listing:
        """Jobs by *order*. *include*: of :data:`LARGE_COLUMNS` and :data:`CHILDREN`. Raises :class:`.TooSlow`."""
        shown = {name: sql for name, sql in columns(Job).items() if name not in LARGE_COLUMNS or name in include}
        if CHILDREN in include:
            shown[CHILDREN] = _CHILDREN
        conditions = which.conditions
        conditions += {Order.FINISHED: ["finished_at IS NOT NULL"], Order.PATH: [WITH_PATH]}.get(order, [])
        return await self._lists.read(
            "jobs",
            shown,
            page,
            key=order.key(which),
            conditions=conditions,
            filters=which.parameters,
            descending=descending,
            branches=_branches(which, order),
            faster=INDEXED,
            whole=_enumerated(which),
        )

    async def total(self, which: JobFilter) -> Total:
        """How many jobs meet *which*, and by state. Raises :class:`.TooSlow`."""
        rows, whole = f"SELECT status FROM jobs WHERE {which.where}", _enumerated(which)
        return await in_time(
            self._database, lambda tx: total(tx, rows, which.parameters, whole=whole), add_one_of(INDEXED)
        )

    async def below(self, which: JobFilter, place: str, limit: int) -> dict[str, str]:
        """The next *limit* jobs that meet *which* below the id *place*, newest first: id → state."""
        branches = _branches(which, Order.CREATED)
        key = _ID if branches else "id"
        conditions = [*which.conditions, f"{key} < %(place)s"]
        first = candidates("jobs", conditions, list(branches), f"{key} DESC", "%(limit)s")
        parameters = {**which.parameters, **branch_values(branches), "place": place, "limit": limit}
        rows = await self._database.query(
            f"SELECT id, status FROM {first} ORDER BY {key} DESC LIMIT %(limit)s", parameters
        )
        return dict(rows)

    async def lock(self, tx: Transaction, which: JobFilter, jobs: Sequence[str]) -> dict[str, bool]:
        """Lock *jobs* and their live assignments, in the order in which reports do.

        Returns those that exist, each with whether it meets *which* now.
        """
        given = {"job": sorted(jobs)}
        await tx.query(sql("lock_live_assignments"), given)
        rows = await tx.query(
            f"SELECT id, ({which.where}) IS TRUE FROM jobs WHERE id = ANY (%(job)s) ORDER BY id FOR UPDATE",
            {**which.parameters, **given},
        )
        return dict(rows)


def _enumerated(which: JobFilter) -> bool:
    return not which.given.keys().isdisjoint(ENUMERATED)


def _branches(which: JobFilter, order: Order) -> Mapping[str, Sequence[str]]:
    """Columns whose combinations of values each have their rows in order in an index; none: the planner chooses one.

    A page is merged from the first rows of each combination. So no statistics can mislead the planner, which might
    look for rare rows in the whole table, in the order of the list.
    """
    if which.given.keys() & SELECTIVE or order not in (Order.CREATED, Order.UPDATED):
        return {}
    states = {"status": sorted(which.given.get("status") or map(str, Status))}
    if order is Order.UPDATED:
        return states
    within = which.within
    for column, limited in (
        ("account_id", None if within is None else within.accounts),
        ("user_id", None if within is None else within.users),
    ):
        values = [which.given[column]] if column in which.given else sorted(limited or ())
        if values and len(values) * len(states["status"]) <= MOST_BRANCHES:
            return {column: values, **states}
    return states if "status" in which.given else {}
