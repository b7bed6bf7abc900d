"""Groups of errors as HTTP shows them."""

from typing import Annotated, Any, Literal

import attrs
from msgspec import UNSET, UnsetType

from copilot_socket.core.describing import Time, doc
from copilot_socket.core.error_groups import GroupStatus
from copilot_socket.store.columns import BESIDE, Column
from copilot_socket.store.shown.jobs import Truncated


@attrs.frozen(kw_only=True)
class ErrorCount:
    """How many errors of a group occurred in an hour or a day."""

    start: Annotated[Time, doc("The beginning of the hour or day.")]
    errors: Annotated[int, doc("How many.")]


@attrs.frozen(kw_only=True)
class ErrorGroup:
    """Errors with the same fingerprint: equal but for numbers, ids, paths and hosts."""

    fingerprint: Annotated[str, doc("16 hexadecimal digits.")]
    error_type: Annotated[str | None, doc("The crawler's name for their kind.")]
    command: Annotated[str, doc("The command of the jobs.")]
    text: Annotated[str, doc("Their message, without what differs.")]
    first_at: Annotated[Time, doc("When the first one occurred.")]
    last_at: Annotated[Time, doc("When the last one occurred.")]
    errors_since_retry: Annotated[
        int | None,
        Column("errors - errors_at_retry"),
        doc("How many occurred since the group was retried; null if it was not."),
    ]
    retried_at: Annotated[Time | None, doc("When its jobs were last retried together.")]
    retried_by: Annotated[str | None, doc("By whom.")]
    ignored_at: Annotated[Time | None, doc("Since when it is ignored.")]
    ignored_by: Annotated[str | None, doc("By whom.")]
    status: Annotated[GroupStatus, BESIDE, doc("`regressed`: errors have occurred since it was retried.")]
    errors: Annotated[int, BESIDE, doc("How many occurred, of those that the filters count.")]
    accounts: Annotated[int, BESIDE, doc("The accounts that these were of.")]
    jobs_failed: Annotated[int, BESIDE, doc("Jobs that are failed by it now, up to 10,001.")]
    history_unit: Annotated[
        Literal["hour", "day"] | UnsetType,
        BESIDE,
        doc("What the history counts by; in a list on request (`history`)."),
    ] = UNSET
    history: Annotated[
        list[ErrorCount] | UnsetType,
        BESIDE,
        doc("Hours or days with such errors, in their order; in a list on request, and the last 100."),
    ] = UNSET


@attrs.frozen(kw_only=True)
class ErrorSample:
    """The latest error of a group."""

    job_id: Annotated[str, doc("Its job.")]
    timestamp: Annotated[Time, doc("When it was reported.")]
    # The bounds of what a crawler reports; other programs may write more.
    error_message: Annotated[str, Column("left(error_message, 65536)"), doc("What went wrong.")]
    stack_trace: Annotated[str | None, Column("left(stack_trace, 262144)"), doc("Where, in the crawler's code.")]
    context: Annotated[dict[str, Any] | None, doc("What else the crawler says.")]
    truncated: Truncated


@attrs.frozen(kw_only=True)
class AccountErrors:
    """How many errors of a group were of an account."""

    account_id: Annotated[str, doc("The account.")]
    errors: Annotated[int, doc("How many.")]


@attrs.frozen(kw_only=True)
class ErrorGroupDetail(ErrorGroup):
    """A group of errors: over time, by account, and its latest one."""

    top_accounts: Annotated[list[AccountErrors], BESIDE, doc("The ten accounts with most errors.")]
    sample: Annotated[ErrorSample | None, BESIDE, doc("The latest error; null once that is deleted.")]
