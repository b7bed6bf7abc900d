"""Writes transitions: jobs, assignments, the error log, and tokens that GitLab has rejected."""

from collections.abc import Sequence

import orjson

from copilot_socket.core.ends import Cause
from copilot_socket.core.jobs import Event, Status
from copilot_socket.core.reports import Failed, GivenBack
from copilot_socket.core.trouble import Trouble
from copilot_socket.store.connection import Transaction
from copilot_socket.store.sql import sql
from copilot_socket.store.transition_rows import Change, TransitionRequest

TOKEN_REJECTED = "GitLab has answered 401"
"""``accounts.credential_error`` of a token with which a job has failed."""


_LOGGED = {Event.FAILED, Event.FAILED_FOR_GOOD, Event.TIMED_OUT}


async def write(tx: Transaction, changes: Sequence[Change]) -> None:
    """Write *changes*, whose rows *tx* has locked."""
    answers = [change.answer for change in changes]
    refused = [
        change.request.job_id for change in changes if change.answer.cause is Cause.CREDENTIAL and change.failure
    ]
    if refused:
        await tx.query(sql("reject_tokens"), {"job": refused, "error": TOKEN_REJECTED})
    await tx.query(
        sql("apply_transitions"),
        {
            "job": [change.request.job_id for change in changes],
            "status": [str(answer.status) for answer in answers],
            "attempts": [answer.attempts for answer in answers],
            "releases": [answer.releases for answer in answers],
            "delay": [answer.delay for answer in answers],
            "outcome": [answer.outcome and str(answer.outcome) for answer in answers],
            "reason": [_reason(change.request) for change in changes],
            "cause": [answer.cause and str(answer.cause) for answer in answers],
            "trouble": [_encoded(answer.trouble) for answer in answers],
        },
    )
    ended = [
        change.held.assignment for change in changes if change.held is not None and change.request.report is None
    ]
    if ended:
        await tx.query(sql("tell_ended"), {"assignment": ended})
    await _log_errors(tx, changes)


async def _log_errors(tx: Transaction, changes: Sequence[Change]) -> None:
    logged = [
        change for change in changes if change.request.event in _LOGGED or change.answer.status is Status.FAILED
    ]
    if not logged:
        return
    failures = [change.failure or _made_failure(change.request) for change in logged]
    await tx.query(
        sql("log_errors"),
        {
            "job": [change.request.job_id for change in logged],
            "error_type": [failure.error_type for failure in failures],
            "message": [failure.error for failure in failures],
            "stack": [failure.stack_trace for failure in failures],
            "context": [None if failure.context is None else failure.context.decode() for failure in failures],
            "retries": [change.row.attempts for change in logged],
            "recoverable": [failure.recoverable for failure in failures],
            "resolution": [change.answer.resolution for change in logged],
            "cause": [change.answer.cause and str(change.answer.cause) for change in logged],
        },
    )


def _made_failure(request: TransitionRequest) -> Failed:
    """An error of the log where the crawler has reported none."""
    return Failed(_reason(request) or str(request.event), str(request.event), True)


def _encoded(trouble: Trouble) -> str | None:
    stored = trouble.to_json()
    return None if stored is None else orjson.dumps(stored).decode()


def _reason(request: TransitionRequest) -> str | None:
    """Why the attempt ended: the given reason, else the error that its crawler has reported, shortened."""
    if request.reason is not None:
        return request.reason
    match request.report:
        case Failed() as failed:
            return failed.error[:1000]
        case GivenBack() as given:
            return given.message and given.message[:1000]
    return None
