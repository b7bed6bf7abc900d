"""How many jobs there are by state: of accounts, of a user, of a command. Read from the counters."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from copilot_socket.core.history import status_of
from copilot_socket.core.jobs import Status
from copilot_socket.store.counts import count_jobs_of
from copilot_socket.store.database import Database

Numbers = dict[str, int]
"""State → jobs, for every state."""

_BY_ACCOUNT = """
SELECT account_id, state, sum(jobs)::bigint FROM job_totals WHERE account_id = ANY (%(accounts)s)
GROUP BY account_id, state
"""

_BY_COMMAND = "SELECT state, sum(jobs)::bigint FROM job_totals WHERE command = %(command)s GROUP BY state"


async def by_account(database: Database, accounts: Sequence[str]) -> Mapping[str, Numbers]:
    """The jobs of each of *accounts*."""
    found: dict[str, list[tuple[Any, ...]]] = {account: [] for account in accounts}
    for account, *counted in await database.query(_BY_ACCOUNT, {"accounts": list(accounts)}):
        found[account].append(tuple(counted))
    return {account: _numbers(rows) for account, rows in found.items()}


async def by_user(database: Database, user: str, accounts: Collection[str] | None) -> Numbers:
    """The jobs of *user*; those of certain *accounts* only, unless that is None."""
    counted = await count_jobs_of(database, accounts, {user})
    return {str(status): jobs for status, jobs in counted.items()}


async def by_command(database: Database, command: str) -> Numbers:
    """The jobs with *command*."""
    return _numbers(await database.query(_BY_COMMAND, {"command": command}))


def _numbers(rows: Iterable[Sequence[Any]]) -> Numbers:
    found: Numbers = {str(status): 0 for status in Status}
    for state, jobs in rows:
        found[str(status_of(state))] += jobs
    return found
