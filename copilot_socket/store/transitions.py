"""State transitions of jobs other than by ordinary reports: failures, releases, time-outs, cancel, retry.

The rows are locked, :func:`copilot_socket.core.transitions.decide` decides on each, and the decisions are written.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import attrs

from copilot_socket.core.acts import Act
from copilot_socket.core.jobs import Event, Status
from copilot_socket.core.origins import origin, same_origin
from copilot_socket.core.reports import job_of
from copilot_socket.core.retry import RetryPolicy
from copilot_socket.core.transitions import Refusal, Transition, decide
from copilot_socket.event_bus import EventBus, HostChanged, JobChanged, RateLimited
from copilot_socket.store.audit import record
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.faults import DatabaseAway, UniqueViolation
from copilot_socket.store.hosts import note_ends
from copilot_socket.store.live_events import append
from copilot_socket.store.sql import sql
from copilot_socket.store.transition_rows import (
    Change,
    LiveAssignment,
    LockedJob,
    TransitionRequest,
    disturbances_of,
    end_of,
)
from copilot_socket.store.transition_writes import write


@attrs.frozen
class TwinExists:
    """The job can't be retried: another job for the same account, command, path and branch is live."""

    twin: str

    def __str__(self) -> str:
        return f"job {self.twin} is live for the same account, command, path and branch"


@attrs.frozen
class AccountMoved:
    """The job can't be retried: its account, and so the token, is for another GitLab now."""

    now_at: str | None

    def __str__(self) -> str:
        return f"the job's account has moved to {self.now_at}; submit a new job there"


Answer = Transition | Refusal | TwinExists | AccountMoved | None
"""The decision on one job. None: there is no such job, or the attempt has ended."""

T = TypeVar("T")
TWIN_TRIES = 5
"""How often a transaction is run that conflicts with new twins."""


class Transitions:
    """Applies the state machine to stored jobs."""

    def __init__(
        self,
        database: Database,
        policy: RetryPolicy,
        bus: EventBus,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._policy = policy
        self._bus = bus
        self._jitter = jitter

    async def apply(
        self, job_ids: Sequence[str], event: Event, *, reason: str | None = None, act: Act | None = None
    ) -> dict[str, Answer]:
        """Apply *event* to jobs, by *act* if it is somebody's; return the answers by job id."""
        answers = await self.run([TransitionRequest(job_id, event, reason=reason) for job_id in job_ids], act)
        return dict(zip(job_ids, answers, strict=True))

    async def pause(self, job_id: str, act: Act) -> Answer:
        """Pause a job, by *act*: one whose crawler takes commands once that has given it back, or was too slow.

        Until then the answer is a transition to the state that it is in; :meth:`.Leases.fence_pauses` does the rest.
        """
        held = await self._ask("request_pause", job_id, act)
        if held is not None:
            return held
        return (await self.apply([job_id], Event.PAUSED, act=act))[job_id]

    async def resume(self, job_id: str, act: Act) -> Answer:
        """Resume a job, by *act*; one that is only to be paused goes on: the answer is a transition to its state."""
        held = await self._ask("withdraw_pause", job_id, act)
        if held is not None:
            return held
        return (await self.apply([job_id], Event.RESUMED, act=act))[job_id]

    async def _ask(self, statement: str, job_id: str, act: Act) -> Transition | None:
        """Ask the crawler of a job to give it back, or withdraw that: a transition to the job's state.

        None if there is no crawler to be asked. Its attempt is locked meanwhile, so that it does not end before that.
        """

        async def work(tx: Transaction) -> Transition | None:
            asked = await tx.query(sql(statement), {"job": [job_id]})
            held = await tx.query(sql("held_job"), {"id": job_id}) if asked else []
            if held and any(changed for changed, *_ in asked):
                await record(tx, act.on(job_id))
            return Transition(Status(held[0][0]), held[0][1], held[0][2]) if held else None

        return await self._database.transaction(work)

    async def run(self, requests: Sequence[TransitionRequest], act: Act | None = None) -> list[Answer]:
        """Apply *requests* in a transaction of their own; return their answers."""

        return await self.transaction(lambda tx: self.run_in(tx, requests, act)) if requests else []

    async def run_in(
        self, tx: Transaction, requests: Sequence[TransitionRequest], act: Act | None = None
    ) -> list[Answer]:
        """Apply *requests* in *tx*; return the answers. The state events are published after the commit."""
        answers, events = await self.within(tx, requests, act)
        tx.after_commit += [partial(self._bus.publish, event) for event in events]
        return answers

    async def transaction(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run *work*, which retries jobs, in a transaction: again where a twin is committed meanwhile."""
        for _ in range(TWIN_TRIES):
            try:
                return await self._database.transaction(work)
            except UniqueViolation:
                continue  # committed after the search for twins; the next search finds it
        raise DatabaseAway(f"live twins of these jobs were in conflict {TWIN_TRIES} times")

    async def within(
        self, tx: Transaction, requests: Sequence[TransitionRequest], act: Act | None = None
    ) -> tuple[list[Answer], list[JobChanged | HostChanged | RateLimited]]:
        """Apply *requests* in *tx*; return the answers, and the state events to publish after the commit."""
        jobs = {"job": sorted({request.job_id for request in requests})}
        await tx.query(sql("lock_live_assignments"), jobs)
        rows = {row[0]: LockedJob(*row) for row in await tx.query(sql("lock_jobs"), jobs)}
        live = {row[0]: LiveAssignment(*row) for row in await tx.query(sql("live_assignments"), jobs)}
        disturbances = await disturbances_of(tx, requests, rows, live)
        obstacles = await _obstacles(tx, [each.job_id for each in requests if each.event is Event.RETRIED])
        answers: list[Answer] = []
        changes: list[Change] = []
        for request in requests:
            row, held = rows.get(request.job_id), live.get(request.job_id)
            if row is None or (
                request.assignment is not None and (held is None or held.assignment != request.assignment)
            ):
                answers.append(None)
                continue
            end = end_of(request, row, held, disturbances)
            answer = decide(row.job(held), request.event, self._policy, self._jitter(), end)
            if isinstance(answer, Transition):
                if answer.status is Status.QUEUED and answer.delay < request.delay:
                    answer = attrs.evolve(answer, delay=request.delay)
                if request.event is Event.RETRIED and request.job_id in obstacles:
                    answers.append(obstacles[request.job_id])
                    continue
                changes.append(Change(_explained(request, answer, row.credential_error), row, held, answer))
            answers.append(answer)
        if not changes:
            return answers, []
        await write(tx, changes)
        events = [change.event() for change in changes]
        await append(tx, events)
        if act is not None:
            states = ((change.request.job_id, (change.row.status, str(change.answer.status))) for change in changes)
            await record(tx, *[act.on(job_id, {"status": status}) for job_id, status in states])
        limited = [each for change in changes if (each := change.rate_limited()) is not None]
        return answers, [*events, *await note_ends(tx, changes), *limited]


def _explained(request: TransitionRequest, answer: Transition, credential_error: str | None) -> TransitionRequest:
    """*request*; for a job that will wait for a credential, with the reason why its account has none."""
    if answer.status is not Status.WAITING_CREDENTIAL:
        return request
    return attrs.evolve(request, reason=f"no new token: {credential_error or 'the credential has expired'}")


async def _obstacles(tx: Transaction, retried: Sequence[str]) -> dict[str, TwinExists | AccountMoved]:
    """What keeps the terminal jobs *retried* from being queued again. Of twins among them, the oldest is queued."""
    found: dict[str, TwinExists | AccountMoved] = {}
    rows = await tx.query(sql("retry_obstacles"), {"job": list(retried)}) if retried else []
    for job_id, job_url, account_url, twin in rows:
        if not same_origin(job_url, account_url):
            found[job_id] = AccountMoved(origin(account_url))
        elif twin is not None:
            found[job_id] = TwinExists(twin)
    return found


def by_assignment(
    assignments: Sequence[str], event: Event, reason: str | Sequence[str] | None = None, delay: float = 0.0
) -> list[TransitionRequest]:
    """Requests for live attempts by assignment id; *reason* is one for all, or one for each."""
    reasons = [reason] * len(assignments) if reason is None or isinstance(reason, str) else reason
    return [
        TransitionRequest(job_of(assignment), event, assignment, why, delay=delay)
        for assignment, why in zip(assignments, reasons, strict=True)
    ]
