"""How many jobs there are by state: of accounts, of a user, of a command."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from copilot_socket.core.jobs import Status
from copilot_socket.store.database import Database

Numbers = dict[str, int]
"""State → jobs, for every state."""

_BY_ACCOUNT = """
SELECT account_id, status, count(*) FROM jobs WHERE account_id = ANY (%(accounts)s) GROUP BY account_id, status
"""

_BY_USER = """
SELECT status, count(*) FROM jobs
WHERE user_id = %(user)s AND (%(accounts)s::text[] IS NULL OR account_id = ANY (%(accounts)s)) GROUP BY status
"""

_BY_COMMAND = "SELECT status, count(*) FROM jobs WHERE command = %(command)s GROUP BY status"


async def by_account(database: Database, accounts: Sequence[str]) -> Mapping[str, Numbers]:
    """The jobs of each of *accounts*."""
    found: dict[str, list[tuple[Any, ...]]] = {account: [] for account in accounts}
    for account, *counted in await database.query(_BY_ACCOUNT, {"accounts": list(accounts)}):
        found[account].append(tuple(counted))
    return {account: _numbers(rows) for account, rows in found.items()}


async def by_user(database: Database, user: str, accounts: Iterable[str] | None) -> Numbers:
    """The jobs of *user*; those of certain *accounts* only, unless that is None."""
    limited = None if accounts is None else list(accounts)
    return _numbers(await database.query(_BY_USER, {"user": user, "accounts": limited}))


async def by_command(database: Database, command: str) -> Numbers:
    """The jobs with *command*."""
    return _numbers(await database.query(_BY_COMMAND, {"command": command}))


def _numbers(rows: Iterable[Sequence[Any]]) -> Numbers:
    counted = {str(state): jobs for state, jobs in rows}
    return {str(state): counted.get(state, 0) for state in Status}
