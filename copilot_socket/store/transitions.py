"""Every change of a job's state that is not an everyday report: failures, releases, time-outs, cancel, retry.

The rows are locked, :func:`copilot_socket.core.jobs.decide` says what becomes of them, and the answer is written.
"""

import random
from collections.abc import Callable, Sequence

import attrs
import psycopg2.errors

from copilot_socket.core.jobs import Event, Job, Refusal, Status, Transition, decide
from copilot_socket.core.origins import origin, same_origin
from copilot_socket.core.reports import Failed, job_of
from copilot_socket.core.retry import RetryPolicy
from copilot_socket.event_bus import EventBus, JobChanged
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.sql import sql


class TwinExists(Exception):
    """The job can't live again: another one for the same piece of work does."""

    def __init__(self, twin: str) -> None:
        super().__init__(f"job {twin} is live for the same account, command, path and branch")
        self.twin = twin


class AccountMoved(Exception):
    """The job can't live again: its account is at another GitLab now, which the token is for."""

    def __init__(self, now_at: str | None) -> None:
        super().__init__(f"the job's account has moved to {now_at}; put in a new job there")


@attrs.frozen
class Ask:
    """What is asked for one job. With ``assignment`` it holds only while that attempt is the live one."""

    job_id: str
    event: Event
    assignment: str | None = None
    reason: str | None = None
    failure: Failed | None = None
    delay: float = 0.0
    """Seconds that the job waits at least, where it is queued again."""


Answer = Transition | Refusal | None
"""None: there is no such job, or the attempt has ended."""

TWIN_TRIES = 5

_LOGGED = {Event.FAILED, Event.FAILED_FOR_GOOD, Event.TIMED_OUT}


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

    async def apply(self, job_ids: Sequence[str], event: Event, *, reason: str | None = None) -> dict[str, Answer]:
        """Apply *event* to jobs by id.

        Raises :class:`TwinExists` if a retry would make a second live job, :class:`AccountMoved` if it would take an
        account's token to the GitLab where the account was before.
        """
        answers = await self.run([Ask(job_id, event, reason=reason) for job_id in job_ids])
        return dict(zip(job_ids, answers, strict=True))

    async def run(self, asks: Sequence[Ask]) -> list[Answer]:
        """Apply *asks* in a transaction of their own."""
        if not asks:
            return []
        for _ in range(TWIN_TRIES):
            try:
                answers, events = await self._database.transaction(lambda tx: self.within(tx, asks))
                break
            except psycopg2.errors.UniqueViolation:
                continue  # a twin was committed after the look for one; the next look finds it
        else:
            raise DatabaseAway("twins of these jobs come and go too fast")
        for event in events:
            self._bus.publish(event)
        return answers

    async def within(self, tx: Transaction, asks: Sequence[Ask]) -> tuple[list[Answer], list[JobChanged]]:
        """Apply *asks* in the transaction *tx*: the answers, and what to tell once it is committed."""
        jobs = {"job": sorted({ask.job_id for ask in asks})}
        await tx.query(sql("lock_live_assignments"), jobs)
        rows = {row[0]: row for row in await tx.query(sql("lock_jobs"), jobs)}
        live = {row[0]: row for row in await tx.query(sql("live_assignments"), jobs)}
        answers: list[Answer] = []
        changes: list[tuple[Ask, Job, Transition, str | None, str | None]] = []
        for ask in asks:
            row, held = rows.get(ask.job_id), live.get(ask.job_id)
            if row is None or (ask.assignment is not None and (held is None or held[1] != ask.assignment)):
                answers.append(None)
                continue
            job = Job(Status(row[1]), row[2], row[3], row[4], held is not None and held[3], row[5])
            answer = decide(job, ask.event, self._policy, self._jitter())
            if isinstance(answer, Transition):
                if answer.status is Status.QUEUED and answer.delay < ask.delay:
                    answer = attrs.evolve(answer, delay=ask.delay)
                if ask.event is Event.RETRIED:
                    await _refuse_moved(tx, ask.job_id)
                    await _refuse_twin(tx, row)
                assignment, crawler = (held[1], held[2]) if held is not None else (None, None)
                changes.append((_explained(ask, answer, row[6]), job, answer, assignment, crawler))
            answers.append(answer)
        if changes:
            await self._write(tx, changes)
        return answers, [
            JobChanged(
                ask.job_id,
                answer.status,
                ask.event,
                assignment,
                crawler,
                ask.reason or answer.resolution,
                answer.outcome,
                rows[ask.job_id][7],
                rows[ask.job_id][8],
                rows[ask.job_id][9],
                None if ask.failure is None else ask.failure.error,
                answer.delay,
            )
            for ask, _job, answer, assignment, crawler in changes
        ]

    async def _write(
        self, tx: Transaction, changes: Sequence[tuple[Ask, Job, Transition, str | None, str | None]]
    ) -> None:
        await tx.query(
            sql("apply_transitions"),
            {
                "job": [ask.job_id for ask, *_ in changes],
                "status": [str(answer.status) for _a, _j, answer, *_ in changes],
                "attempts": [answer.attempts for _a, _j, answer, *_ in changes],
                "releases": [answer.releases for _a, _j, answer, *_ in changes],
                "delay": [answer.delay for _a, _j, answer, *_ in changes],
                "outcome": [answer.outcome and str(answer.outcome) for _a, _j, answer, *_ in changes],
                "reason": [_reason(ask) for ask, *_ in changes],
            },
        )
        ended = [assignment for ask, _j, _t, assignment, _c in changes if assignment and ask.failure is None]
        if ended:
            await tx.query(sql("tell_ended"), {"assignment": ended})
        await self._log_errors(tx, changes)

    async def _log_errors(
        self, tx: Transaction, changes: Sequence[tuple[Ask, Job, Transition, str | None, str | None]]
    ) -> None:
        logged = [
            (ask, job, answer, ask.failure or Failed(_reason(ask) or str(ask.event), str(ask.event), True))
            for ask, job, answer, *_ in changes
            if ask.event in _LOGGED or answer.status is Status.FAILED
        ]
        if not logged:
            return
        await tx.query(
            sql("log_errors"),
            {
                "job": [ask.job_id for ask, *_ in logged],
                "error_type": [failure.error_type for *_, failure in logged],
                "message": [failure.error for *_, failure in logged],
                "stack": [failure.stack_trace for *_, failure in logged],
                "context": [None if failure.context is None else failure.context.decode() for *_, failure in logged],
                "retries": [job.attempts for _a, job, *_ in logged],
                "recoverable": [failure.recoverable for *_, failure in logged],
                "resolution": [answer.resolution for _a, _j, answer, _f in logged],
            },
        )


def _explained(ask: Ask, answer: Transition, credential_error: str | None) -> Ask:
    """*ask*; of a job that is to wait for a credential with the reason why its account has none."""
    if answer.status is not Status.WAITING_CREDENTIAL:
        return ask
    return attrs.evolve(ask, reason=f"no new token: {credential_error or 'the credential has expired'}")


def _reason(ask: Ask) -> str | None:
    """Why the attempt ended; what its crawler said of a failure, unless there is a better reason."""
    return ask.failure.error[:1000] if ask.reason is None and ask.failure is not None else ask.reason


async def _refuse_moved(tx: Transaction, job_id: str) -> None:
    [(job_url, account_url)] = await tx.query(sql("urls_of_job"), {"job": job_id})
    if not same_origin(job_url, account_url):
        raise AccountMoved(origin(account_url))


async def _refuse_twin(tx: Transaction, row: tuple[object, ...]) -> None:
    job_id, *_, account, command, path, branch = row
    twin = await tx.query(
        sql("live_twin"),
        {"job": job_id, "account": account, "command": command, "path": path, "branch": branch},
    )
    if twin:
        raise TwinExists(twin[0][0])


def by_assignment(
    assignments: Sequence[str], event: Event, reason: str | Sequence[str] | None = None, delay: float = 0.0
) -> list[Ask]:
    """Asks for live attempts, named by assignment id; *reason* for all, or one each."""
    reasons = [reason] * len(assignments) if reason is None or isinstance(reason, str) else reason
    return [
        Ask(job_of(assignment), event, assignment, why, delay=delay)
        for assignment, why in zip(assignments, reasons, strict=True)
    ]
