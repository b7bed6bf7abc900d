"""What is crawled for a user, read in bounded time."""

from typing import Any

from copilot_socket.core.access import Within
from copilot_socket.core.ends import FAILURES, Cause
from copilot_socket.core.jobs import Status
from copilot_socket.core.user_crawls import crawl_state, progress
from copilot_socket.store import job_numbers
from copilot_socket.store.connection import Row, Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.listing import Record, in_time
from copilot_socket.store.sql import sql

MOST_READ = 10_000
"""Jobs in each state that are read, the newest; all are counted."""
MOST_NAMES = 100
"""Entities and accounts that are shown."""
LONGEST_ERROR = 1000
"""Characters of an error's message that are shown."""
_FAILURES = (*FAILURES, Cause.TIMED_OUT, Cause.POISON)


class UserCrawls:
    """Reads from *database*."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def show(self, user: str, within: Within | None = None) -> Record:
        """All that is crawled for *user*; of a limited token, *within* its accounts. Raises :class:`.TooSlow`."""
        accounts = None if within is None or within.accounts is None else sorted(within.accounts)
        numbers = await job_numbers.by_user(self._database, user, accounts)
        jobs = {Status(state): count for state, count in numbers.items()}
        which = {"user": user, "accounts": accounts}
        read = {
            **which,
            "states": [state for state, count in numbers.items() if count],
            "failures": list(_FAILURES),
            "most": MOST_READ,
            "names": MOST_NAMES,
        }

        async def work(tx: Transaction) -> Record:
            [(free,)] = await tx.query(sql("user_free"), which)
            [row] = await tx.query(sql("user_jobs"), read)
            return {"state": str(crawl_state(jobs, free=free))} | await _details(tx, row)

        details = await in_time(self._database, work, "the user has too many jobs")
        return {"id": user, "jobs": numbers, "total": sum(jobs.values()), "progress": progress(jobs), **details}


async def _details(tx: Transaction, row: Row) -> dict[str, Any]:
    count, first_created, last_created, first_started, last_finished, items, accounts, *failure = row
    names = ("id", "gitlab_url", "credential_status", "token_expires_at")
    rows = await tx.query(sql("user_accounts"), {"ids": accounts})
    return {
        "jobs_read": count,
        "items": items or {},
        "accounts": [dict(zip(names, each, strict=True)) for each in rows],
        "first_created_at": first_created,
        "last_created_at": last_created,
        "first_started_at": first_started,
        "last_finished_at": last_finished,
        "last_error": await _error(tx, *failure),
    }


async def _error(
    tx: Transaction, job: str | None, command: str, full_path: str | None, cause: str, changed: Any
) -> Record | None:
    if job is None:
        return None
    logged = await tx.query(sql("last_error"), {"job": job, "longest": LONGEST_ERROR})
    at, error_type, message = logged[0] if logged else (changed, None, None)
    return {
        "job_id": job,
        "command": command,
        "full_path": full_path,
        "cause": cause,
        "timestamp": at,
        "error_type": error_type,
        "error_message": message,
    }
