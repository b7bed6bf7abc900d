"""Writes the error log and the groups of errors with the same fingerprint, in the transaction of the failure."""

from collections.abc import Sequence

from copilot_socket.core.fingerprints import ErrorGroup, group_of
from copilot_socket.core.reports import Refused, job_of
from copilot_socket.store.connection import Transaction
from copilot_socket.store.sql import sql
from copilot_socket.store.transition_rows import Change

MOST_ERRORS = 100
"""Errors of a job from which on no refused discoveries are added."""
_KNOWN = "its crawler received the error, and may send the discovery again in parts"
_UNKNOWN = (
    "its crawler lacks the capability ack, so did not receive the error: its report of completion fails the job"
)


async def log_failures(tx: Transaction, changes: Sequence[Change]) -> None:
    """Log those of *changes* that are failures."""
    rows = [(change, change.logged.failure, change.logged.group) for change in changes if change.logged is not None]
    if not rows:
        return
    await tx.query(
        f"{sql('log_errors')}, {sql('count_errors')}",
        {
            "job": [change.request.job_id for change, _, _ in rows],
            "message": [failure.error for _, failure, _ in rows],
            "stack": [failure.stack_trace for _, failure, _ in rows],
            "context": [None if failure.context is None else failure.context.decode() for _, failure, _ in rows],
            "retries": [change.row.attempts for change, _, _ in rows],
            "recoverable": [failure.recoverable for _, failure, _ in rows],
            "resolution": [change.answer.resolution for change, _, _ in rows],
            "cause": [change.answer.cause and str(change.answer.cause) for change, _, _ in rows],
            "command": [group.command for _, _, group in rows],
            "account": [change.row.account for change, _, _ in rows],
            **_columns([group for _, _, group in rows]),
        },
    )


async def log_refusals(tx: Transaction, refused: Sequence[tuple[str, Refused]]) -> None:
    """Log discoveries that were *refused*, each with its assignment.

    In a transaction that also logs failures they come first; no group has both, so that nodes do not deadlock.
    """
    jobs = [job_of(assignment) for assignment, _ in refused]
    commands: dict[str, str] = dict(await tx.query(sql("commands_of_jobs"), {"job": jobs}))
    rows = [(job, *each) for job, each in zip(jobs, refused, strict=True) if job in commands]
    await tx.query(
        f"{sql('discoveries_refused')}, {sql('count_errors')}",
        {
            "job": [job for job, _, _ in rows],
            "assignment": [assignment for _, assignment, _ in rows],
            "message": [each.error for _, _, each in rows],
            "known": [each.known for _, _, each in rows],
            "resolution": [_KNOWN if each.known else _UNKNOWN for _, _, each in rows],
            "most": MOST_ERRORS,
            **_columns([group_of(each.error_type, commands[job], each.error) for job, _, each in rows]),
        },
    )


def _columns(groups: Sequence[ErrorGroup]) -> dict[str, list[str | None]]:
    return {
        "error_type": [group.error_type for group in groups],
        "fingerprint": [group.fingerprint for group in groups],
        "text": [group.text for group in groups],
    }
