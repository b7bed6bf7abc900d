"""Submission of jobs: lists are stored all or nothing, in statements of bounded size, without a second live twin."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Required, TypedDict

import attrs
import orjson

from copilot_socket.core.acts import Act
from copilot_socket.core.origins import origin, same_origin
from copilot_socket.store.audit import record
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.faults import CheckViolation, ForeignKeyViolation
from copilot_socket.store.idempotency import KeyAnswer, answer
from copilot_socket.store.ulids import ulids

MAX_JOBS = 10_000
CHUNK_ROWS = 1000
CHUNK_CHARACTERS = 256 * 1024
"""Bounds of one statement, so that encoding it and decoding its result take a few milliseconds."""


class NewJob(TypedDict, total=False):
    """A submitted job, in the form in which it is sent to the database. Omitted keys take their defaults.

    ``scheduled_at`` is ISO 8601 with an offset, ``resume_state`` a JSON object.
    """

    account_id: Required[str]
    command: Required[str]
    full_path: str
    branch: str
    user_id: str
    gitlab_url: str
    priority: int
    scheduled_at: str
    max_attempts: int
    resume_state: bytes


@attrs.frozen
class Submitted:
    """The ids in the order of the list, and whether each job is new; the other ids are those of live twins."""

    ids: Sequence[str]
    created: Sequence[bool]


class UnknownAccounts(Exception):
    """Jobs name accounts that do not exist; nothing was stored."""

    def __init__(self, accounts: frozenset[str]) -> None:
        super().__init__(f"{len(accounts)} accounts do not exist")
        self.accounts = accounts


class ForeignOrigins(Exception):
    """Jobs name another GitLab than that of their accounts; nothing was stored.

    ``allowed``: the index of each such job in the list → the origin of its account, None where it has none.
    """

    def __init__(self, allowed: Mapping[int, str | None]) -> None:
        super().__init__(f"{len(allowed)} jobs have another origin than their accounts")
        self.allowed = allowed


# The lock that the foreign key of jobs takes, too: no account moves to another origin before its jobs are inserted.
_ACCOUNTS = "SELECT id, gitlab_url FROM accounts WHERE id = ANY (%(ids)s) ORDER BY id FOR KEY SHARE"

_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"

# All lists are inserted in this order, so that two can't deadlock; of twins in one list the first is stored.
_INSERT = """
INSERT INTO jobs (id, account_id, command, full_path, branch, user_id, provider, gitlab_url, priority, scheduled_at,
                  max_attempts, resume_state)
SELECT coalesce(t.id, copilot_ulid()), t.account_id, t.command, t.full_path, t.branch, t.user_id, a.provider,
       coalesce(t.gitlab_url, a.gitlab_url), coalesce(t.priority, 0), coalesce(t.scheduled_at, now()),
       coalesce(t.max_attempts, %(max_attempts)s), t.resume_state
FROM json_to_recordset(%(jobs)s::json) AS t (
  id text, account_id text, command text, full_path text, branch text, user_id text, gitlab_url text,
  priority integer, scheduled_at timestamptz, max_attempts integer, resume_state jsonb)
JOIN accounts a ON a.id = t.account_id
ORDER BY t.account_id COLLATE "C", t.command COLLATE "C", coalesce(t.full_path, '') COLLATE "C",
         coalesce(t.branch, '') COLLATE "C", t.id
ON CONFLICT (account_id, command, coalesce(full_path, ''), coalesce(branch, ''))
  WHERE status NOT IN ('completed', 'failed', 'cancelled') DO NOTHING
RETURNING id
"""

# A single job and the row of whoever submits it.
_INSERT_ONE = f"""
WITH new AS ({_INSERT}), recorded AS (
  INSERT INTO audit_log (door, actor, address, action, target)
  SELECT %(door)s::text, %(actor)s::text, %(address)s::text, %(action)s::text, %(target)s::text FROM new
)
SELECT id FROM new
"""

# With LIMIT the plan is one look-up in the unique index for each row, however large the table is.
_TWINS = """
SELECT t.id, twin.id
FROM json_to_recordset(%(jobs)s::json) AS t (id text, account_id text, command text, full_path text, branch text)
CROSS JOIN LATERAL (
  SELECT j.id FROM jobs j
  WHERE j.account_id = t.account_id AND j.command = t.command
    AND coalesce(j.full_path, '') = coalesce(t.full_path, '') AND coalesce(j.branch, '') = coalesce(t.branch, '')
    AND j.status NOT IN ('completed', 'failed', 'cancelled')
  LIMIT 1) AS twin
"""


class Submission:
    """Stores jobs in *database*; *max_attempts* is the default. *next_slice* is awaited in long work."""

    def __init__(
        self,
        database: Database,
        max_attempts: int,
        next_slice: Callable[[], Awaitable[object]],
    ) -> None:
        self.database = database
        self._max_attempts = max_attempts
        self._next_slice = next_slice

    async def submit(
        self, jobs: Sequence[NewJob], act: Act, answered: Callable[[Submitted], KeyAnswer] | None = None
    ) -> Submitted:
        """Store *jobs* in one transaction, by *act*; if that has a key, together with what is *answered*.

        Raises :class:`UnknownAccounts`, :class:`ForeignOrigins`, :class:`.KeyTaken`, or an error of the database;
        nothing is stored then.
        """
        if act.key is None and len(jobs) == 1:
            single = await self._submit_one(jobs[0], act)
            if single is not None:
                return single

        async def work(tx: Transaction) -> Submitted:
            submitted = await self.submit_in(tx, jobs, act)
            if act.key is not None and answered is not None:
                await answer(tx, act.key, answered(submitted))
            return submitted

        return await self.database.transaction(work)

    async def _submit_one(self, job: NewJob, act: Act) -> Submitted | None:
        """Store a single new job, the most frequent submission, by one statement; None where nothing was stored.

        Its act, which takes no key, is recorded by the same statement.
        """
        who = {"door": act.door, "actor": act.actor.name, "address": act.actor.address, "action": act.action}
        params = {**self._parameters([_row(job)]), **who, "target": job["account_id"]}
        try:
            rows = await self.database.hot_query("submit_one", _INSERT_ONE, params)
        except (CheckViolation, ForeignKeyViolation):
            return (
                None  # the general way finds out which check it is, or that the account is gone, and raises the error
            )
        if not rows:
            return None
        return Submitted([rows[0][0]], [True])

    async def submit_in(self, tx: Transaction, jobs: Sequence[NewJob], act: Act) -> Submitted:
        """:meth:`submit` in the transaction *tx*."""
        if not jobs:
            return Submitted([], [])
        await self._check_accounts(tx, jobs)
        [(milliseconds,)] = await tx.query(_NOW)
        ids = ulids(milliseconds, len(jobs))
        inserted: set[str] = set()
        twins: dict[str, str] = {}
        order = sorted(range(len(jobs)), key=lambda number: _uniqueness(jobs[number]))
        for chunk in _chunks([(ids[number], jobs[number]) for number in order]):
            await self._next_slice()
            await self._store_chunk(tx, chunk, inserted, twins)
        if inserted:
            accounts = {job["account_id"] for job in jobs}
            await record(tx, act.on(accounts.pop() if len(accounts) == 1 else None, count=len(inserted)))
        return Submitted([twins.get(job_id, job_id) for job_id in ids], [job_id in inserted for job_id in ids])

    async def _store_chunk(
        self, tx: Transaction, rows: Mapping[str, str], inserted: set[str], twins: dict[str, str]
    ) -> None:
        """Store *rows* (id → JSON): add new ids to *inserted*, and those with a live twin to *twins* (id → twin)."""
        missing = list(rows)
        # A second round only where a conflicting twin ends before its id is read.
        while missing:
            new = await tx.query(_INSERT, self._parameters([rows[job_id] for job_id in missing]))
            inserted.update(row[0] for row in new)
            missing = [job_id for job_id in missing if job_id not in inserted]
            if missing:
                twins.update(await tx.query(_TWINS, self._parameters([rows[job_id] for job_id in missing])))
                missing = [job_id for job_id in missing if job_id not in twins]

    async def _check_accounts(self, tx: Transaction, jobs: Sequence[NewJob]) -> None:
        """Raise unless each job's account exists and is at the GitLab that the job names, if any."""
        named = sorted({job["account_id"] for job in jobs})
        urls: dict[str, str] = {}
        for start in range(0, len(named), CHUNK_ROWS):
            await self._next_slice()
            urls.update(await tx.query(_ACCOUNTS, {"ids": named[start : start + CHUNK_ROWS]}))
        if len(urls) < len(named):
            raise UnknownAccounts(frozenset(named) - urls.keys())
        foreign: dict[int, str | None] = {}
        for number, job in enumerate(jobs):
            if number % CHUNK_ROWS == 0:
                await self._next_slice()
            own = urls[job["account_id"]]
            if not same_origin(job.get("gitlab_url", own), own):
                foreign[number] = origin(own)
        if foreign:
            raise ForeignOrigins(foreign)

    def _parameters(self, rows: Sequence[str]) -> dict[str, object]:
        return {"jobs": f"[{','.join(rows)}]", "max_attempts": self._max_attempts}


def _uniqueness(job: NewJob) -> tuple[str, str, str, str]:
    """The unique key of a live job, in the order of COLLATE "C"."""
    return job["account_id"], job["command"], job.get("full_path", ""), job.get("branch", "")


def _row(job: NewJob, **more: str) -> str:
    row: dict[str, object] = {**more, **job}
    if "resume_state" in job:
        row["resume_state"] = orjson.Fragment(job["resume_state"])
    return orjson.dumps(row).decode()


def _chunks(jobs: Sequence[tuple[str, NewJob]]) -> Iterator[dict[str, str]]:
    """*jobs* in their order, as rows by id, in chunks for one statement each."""
    chunk: dict[str, str] = {}
    size = 0
    for job_id, job in jobs:
        row = _row(job, id=job_id)
        if chunk and (len(chunk) >= CHUNK_ROWS or size + len(row) > CHUNK_CHARACTERS):
            yield chunk
            chunk, size = {}, 0
        chunk[job_id] = row
        size += len(row)
    if chunk:
        yield chunk
