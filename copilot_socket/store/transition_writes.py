"""Writes transitions: jobs, assignments, the error log, and tokens that GitLab has rejected."""

from collections.abc import Sequence

import orjson

from copilot_socket.core.ends import Cause
from copilot_socket.core.trouble import Trouble
from copilot_socket.store.connection import Transaction
from copilot_socket.store.error_log import log_failures
from copilot_socket.store.sql import sql
from copilot_socket.store.transition_rows import Change

TOKEN_REJECTED = "GitLab has answered 401"
"""``accounts.credential_error`` of a token with which a job has failed."""


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
            "reason": [change.request.why for change in changes],
            "cause": [answer.cause and str(answer.cause) for answer in answers],
            "trouble": [_encoded(answer.trouble) for answer in answers],
            "error": [change.error for change in changes],
            "operation": [change.request.operation for change in changes],
        },
    )
    ended = [
        change.held.assignment for change in changes if change.held is not None and change.request.report is None
    ]
    if ended:
        await tx.query(sql("tell_ended"), {"assignment": ended})
    await log_failures(tx, changes)


def _encoded(trouble: Trouble) -> str | None:
    stored = trouble.to_json()
    return None if stored is None else orjson.dumps(stored).decode()
