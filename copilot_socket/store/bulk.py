"""Bulk operations on jobs: objects in the database, carried out in slices (docs/adr/0025-bulk-operations.md).

What matches an operation's filter and is no newer than the operation is walked once. Each slice is a transaction that
changes its jobs and stores how far the walk has come; so whoever dies, the next slice goes on from there.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import attrs
import orjson
from twisted.logger import Logger

from copilot_socket.core.access import Within
from copilot_socket.core.actors import Actor
from copilot_socket.core.acts import HTTP, Act
from copilot_socket.core.bulk import Action
from copilot_socket.core.jobs import TERMINAL, Event, Status
from copilot_socket.core.transitions import Refusal, Transition
from copilot_socket.store.audit import record
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.faults import hopeless
from copilot_socket.store.job_deletion import delete_jobs, orphan_children
from copilot_socket.store.job_filters import JobFilter
from copilot_socket.store.job_lists import JobLists
from copilot_socket.store.sql import sql
from copilot_socket.store.totals import Total
from copilot_socket.store.transition_rows import TransitionRequest
from copilot_socket.store.transitions import AccountMoved, Answer, Transitions, TwinExists


@attrs.frozen
class NewOperation:
    """What is asked for: *action* on the jobs that meet *given* (see :data:`.CONDITIONS`) and are *within*."""

    action: Action
    given: Mapping[str, Any]
    within: Within | None = None

    @property
    def which(self) -> JobFilter:
        """The jobs in question: only those in a state that allows the action."""
        allowed = {str(state) for state in self.action.states}
        asked = set(self.given.get("status") or allowed)
        return JobFilter({**self.given, "status": sorted(allowed & asked)}, self.within)


@attrs.frozen
class _Taken:
    """A row of ``take_operation``."""

    id: str
    action: Action = attrs.field(converter=Action)
    given: Mapping[str, Any]
    accounts: Sequence[str] | None
    users: Sequence[str] | None
    place: str
    changed: Mapping[str, int]
    skipped: Mapping[str, int]
    created_by: str

    @property
    def which(self) -> JobFilter:
        """The jobs in question."""
        return NewOperation(self.action, self.given, Within.of(self.accounts, self.users)).which


class OperationLost(Exception):
    """The operation was aborted, or another node has taken it: the slice is rolled back."""


class BulkOperations:
    """Starts, aborts and carries out bulk operations, as the node *node*."""

    log = Logger()

    def __init__(self, database: Database, transitions: Transitions, jobs: JobLists, node: str) -> None:
        self._database = database
        self._transitions = transitions
        self.jobs = jobs
        self._node = node

    async def preview(self, new: NewOperation) -> Total:
        """How many jobs it is about. Raises :class:`.TooSlow`."""
        return await self.jobs.total(new.which)

    async def start(
        self,
        new: NewOperation,
        expected: Total,
        act: Act,
        first: Callable[[Transaction], Awaitable[bool]] | None = None,
    ) -> str | None:
        """Store an operation, by *act*; return its id. Nodes begin with it within a second.

        *first* is called in the transaction; where it returns False, nothing is stored, and None returned.
        """
        within = new.within
        row = {
            "action": str(new.action),
            "filter": orjson.dumps(dict(new.given)).decode(),
            "accounts": None if within is None or within.accounts is None else sorted(within.accounts),
            "users": None if within is None or within.users is None else sorted(within.users),
            "expected": expected.count,
            "exact": expected.exact,
            "actor": act.actor.name,
        }

        async def work(tx: Transaction) -> str | None:
            if first is not None and not await first(tx):
                return None
            [(operation,)] = await tx.query(sql("start_operation"), row)
            told = {**new.given, "ids": len(new.given["ids"])} if "ids" in new.given else dict(new.given)
            started = act.on(str(operation), {"action": row["action"], "filter": told}, max(1, expected.count))
            await record(tx, started)
            return str(operation)

        return await self._database.transaction(work)

    async def abort(self, operation: str, act: Act) -> bool:
        """End an operation after the slice under way, by *act*; whether it was running."""
        return await self._end(operation, "aborted", act)

    async def delete(self, job: str, act: Act) -> Status | None:
        """Delete *job*, if it is terminal, by *act*; the state that it had. None: there is no such job."""

        async def work(tx: Transaction) -> Status | None:
            for status in (await delete_jobs(tx, [job])).values():
                await record(tx, act.on(job, {"status": status}))
                return Status(status)
            return None

        while True:
            rows = await self._database.query("SELECT status FROM jobs WHERE id = %(job)s", {"job": job})
            if not rows or Status(rows[0][0]) not in TERMINAL:
                return Status(rows[0][0]) if rows else None
            await orphan_children(self._database, [job])
            deleted = await self._database.transaction(work)
            if deleted is not None:
                return deleted

    async def run_slice(self, size: int) -> float | None:
        """Carry out the next slice of up to *size* jobs; the seconds for which it held locks, None: nothing to do."""
        rows = await self._database.query(sql("take_operation"), {"node": self._node})
        if not rows:
            return None
        taken = _Taken(*rows[0])
        try:
            return await self._run_slice(taken, size)
        except OperationLost:
            return 0.0
        except Exception as error:
            if not hopeless(error):
                raise
            why = f"{type(error).__name__}: {error}"
            self.log.warn("Operation {operation} can't be carried out: {error}", operation=taken.id, error=why)
            await self._end(taken.id, "failed", _by(taken), why)
            return 0.0

    async def _run_slice(self, taken: _Taken, size: int) -> float:
        jobs = await self.jobs.below(taken.which, taken.place, size)
        if not jobs:
            await self._end(taken.id, "done", _by(taken))
            return 0.0
        if taken.action is Action.DELETE:
            await orphan_children(self._database, list(jobs))
        began = self._database.reactor.seconds()
        await self._transitions.transaction(partial(self._slice, taken, jobs))
        return self._database.reactor.seconds() - began

    async def _slice(self, taken: _Taken, jobs: Mapping[str, str], tx: Transaction) -> None:
        """Act on those of *jobs* (id → state) that still meet the filter, and keep the place."""
        locked = await self.jobs.lock(tx, taken.which.changing, list(jobs))
        results: dict[str, str | None] = {job: "state" if job in locked else "gone" for job in jobs}
        meeting = [job for job, meets in locked.items() if meets]
        event = taken.action.event
        if event is None:
            results |= dict.fromkeys(await delete_jobs(tx, meeting))
        else:
            results |= await self._apply(tx, taken, event, meeting)
        changed, skipped = Counter(taken.changed), Counter(taken.skipped)
        for job, state in jobs.items():
            why = results[job]
            if why is None:
                changed[state] += 1
            else:
                skipped[why] += 1
        kept = await tx.query(
            sql("keep_place"),
            {
                "id": taken.id,
                "former": taken.place,
                "place": min(jobs),
                "changed": orjson.dumps(changed).decode(),
                "skipped": orjson.dumps(skipped).decode(),
                "node": self._node,
            },
        )
        if not kept:
            raise OperationLost

    async def _apply(
        self, tx: Transaction, taken: _Taken, event: Event, jobs: Sequence[str]
    ) -> dict[str, str | None]:
        """Apply *event* to the locked *jobs*.

        Why each of them was skipped; None: it was changed, or its crawler is asked to.
        """
        asked: set[str] = set()
        if event is Event.PAUSED:
            asked = {job for _, job, _ in await tx.query(sql("request_pause"), {"job": list(jobs)})}
        requests = [TransitionRequest(job, event, operation=taken.id) for job in jobs if job not in asked]
        answers = await self._transitions.run_in(tx, requests)
        return dict.fromkeys(asked) | {
            request.job_id: _skipped(answer) for request, answer in zip(requests, answers, strict=True)
        }

    async def _end(self, operation: str, status: str, act: Act, error: str | None = None) -> bool:
        async def work(tx: Transaction) -> bool:
            rows = await tx.query(sql("end_operation"), {"id": operation, "status": status, "error": error})
            for changed, skipped in rows:
                details = {"status": status, "changed": changed, "skipped": skipped}
                await record(tx, act.on(operation, details, max(1, sum(changed.values()))))
            return bool(rows)

        return await self._database.transaction(work)


def _by(taken: _Taken) -> Act:
    """The end of an operation, as done by whoever started it."""
    return Act(HTTP, Actor(taken.created_by), "operation.end")


def _skipped(answer: Answer) -> str | None:
    """Why a job was skipped, as a short code; None: it was changed."""
    match answer:
        case Transition():
            return None
        case Refusal():
            return "state"
        case TwinExists():
            return "twin"
        case AccountMoved():
            return "moved"
    return "gone"
