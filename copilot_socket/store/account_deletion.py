"""Deletion of an account with its jobs, in slices that hold no lock for long (docs/http.md, "Accounts")."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import attrs
from twisted.internet.task import deferLater

from copilot_socket.core.acts import Act
from copilot_socket.core.bulk import Pace
from copilot_socket.core.jobs import TERMINAL, Status
from copilot_socket.core.preconditions import Precondition
from copilot_socket.store import job_numbers
from copilot_socket.store.audit import record
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.job_deletion import delete_jobs, orphan_children
from copilot_socket.store.job_filters import JobFilter
from copilot_socket.store.job_lists import JobLists
from copilot_socket.store.single import ONE_ACCOUNT

PATIENCE = 5.0
"""Seconds after which the rest is left to another call."""
_NEWEST = "8"
"""Behind the ids of all jobs."""

_LIVE = """
SELECT status FROM jobs WHERE account_id = %(id)s AND status NOT IN ('completed', 'failed', 'cancelled') LIMIT 1
"""

_UNAUTHORIZE = """
WITH gone AS (
  DELETE FROM area_authorizations WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM area_authorizations WHERE account_id = %(id)s LIMIT %(limit)s))
  RETURNING account_id
)
SELECT count(*) FROM gone
"""

# Whoever inserts a job of the account is waited for, or waits, and is refused then.
_LOCK = "SELECT gitlab_origin FROM accounts WHERE id = %(id)s FOR UPDATE"

_ANY_JOB = "SELECT status FROM jobs WHERE account_id = %(id)s LIMIT 1"

_DELETE = """
WITH budget AS (
  DELETE FROM budgets WHERE account_id = %(id)s
), account AS (
  DELETE FROM accounts WHERE id = %(id)s
)
DELETE FROM pauses WHERE scope = 'account' AND target = %(id)s RETURNING id
"""

# Limits, budgets and pauses of the account are no more.
_NOTIFY = "SELECT pg_notify('copilot_restrictions', '')"


class LiveJobs(Exception):
    """The account has live jobs, so it can't be deleted.

    Neither can it move to another origin: its token would be sent to the former one.
    """


@attrs.frozen
class Deletion:
    """What a call has deleted: ``jobs``, and the ``pauses`` of the account, which have ended.

    ``left``: the jobs that are left, where the account is not deleted yet; else None.
    """

    jobs: int
    pauses: Sequence[str] = ()
    left: int | None = None


class AccountDeletion:
    """Deletes accounts from *database*."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._jobs = JobLists(database)

    async def run(
        self,
        account: str,
        act: Act,
        go_on: Callable[[], Awaitable[object]],
        precondition: Precondition | None = None,
    ) -> Deletion | None:
        """Delete *account* and all that belongs to it, by *act*, for :data:`PATIENCE` seconds at most.

        Repeat the call until nothing is left. *go_on* is awaited between slices, and may raise an error.

        Returns None if there is no such account. Raises :class:`LiveJobs` and :class:`.PreconditionFailed`; if that
        becomes so meanwhile, jobs and authorizations may be deleted then.
        """
        which = {"id": account}
        if precondition is not None:
            await self._database.transaction(lambda tx: ONE_ACCOUNT.require(tx, precondition, which))
        if not await self._database.query("SELECT FROM accounts WHERE id = %(id)s", which):
            return None
        if await self._database.query(_LIVE, which):
            raise _live(account)
        reactor = self._database.reactor
        until = reactor.seconds() + PATIENCE
        pace, deleted, place = Pace(), 0, _NEWEST
        while True:
            began = reactor.seconds()
            if began >= until:
                numbers = await job_numbers.by_account(self._database, [account])
                return Deletion(deleted, left=sum(numbers[account].values()))
            jobs = await self._jobs_below(account, place, pace.size)
            if jobs:
                deleted += await self._jobs_slice(account, act, jobs)
                place = jobs[-1]
            elif not await self._area_slice(account, act, pace.size):
                pauses = await self._database.transaction(partial(self._end, account, act, precondition))
                if pauses is not None:
                    return Deletion(deleted, pauses)
                place = _NEWEST  # some have ended meanwhile
            await deferLater(reactor, pace.rest(reactor.seconds() - began))
            await go_on()

    async def _jobs_below(self, account: str, place: str, size: int) -> list[str]:
        """Up to *size* terminal jobs below the id *place*, newest first."""
        which = JobFilter({"account_id": account, "status": sorted(map(str, TERMINAL))})
        return list(await self._jobs.below(which, place, size))

    async def _jobs_slice(self, account: str, act: Act, jobs: Sequence[str]) -> int:
        """Delete those of *jobs* that are terminal; their number."""
        await orphan_children(self._database, jobs)

        async def work(tx: Transaction) -> int:
            gone = len(await delete_jobs(tx, jobs))
            await record(tx, _emptied(act, account, "jobs", gone))
            return gone

        return await self._database.transaction(work)

    async def _area_slice(self, account: str, act: Act, size: int) -> int:
        async def work(tx: Transaction) -> int:
            [(gone,)] = await tx.query(_UNAUTHORIZE, {"id": account, "limit": size})
            await record(tx, _emptied(act, account, "areas", gone))
            return int(gone)

        return await self._database.transaction(work)

    async def _end(
        self, account: str, act: Act, precondition: Precondition | None, tx: Transaction
    ) -> Sequence[str] | None:
        """Delete the account itself; its pauses, None if there are terminal jobs again. Raises :class:`LiveJobs`."""
        which = {"id": account}
        if not await tx.query(_LOCK, which):
            return ()  # by another call
        if precondition is not None:
            await ONE_ACCOUNT.require(tx, precondition, which)
        for (status,) in await tx.query(_ANY_JOB, which):
            if Status(status) in TERMINAL:
                return None
            raise _live(account)
        pauses = [pause for (pause,) in await tx.query(_DELETE, which)]
        await tx.query(_NOTIFY)
        await record(tx, act.on(account))
        return pauses


def _emptied(act: Act, account: str, of: str, count: int) -> Act | None:
    return attrs.evolve(act, action="account.empty").on(account, {"of": of}, count) if count else None


def _live(account: str) -> LiveJobs:
    return LiveJobs(f"account {account!r} has live jobs: cancel them, or wait for their end")
