"""Bulk operations as HTTP shows them."""

from typing import Annotated, Any, Literal

import attrs

from copilot_socket.core.bulk import Action
from copilot_socket.core.describing import Time, doc
from copilot_socket.store.columns import Column

_DONE = "coalesce((SELECT sum(each.value::bigint) FROM jsonb_each_text({}) AS each), 0)::bigint"


@attrs.frozen(kw_only=True)
class BulkOperation:
    """A bulk operation on jobs, and how far it is."""

    id: Annotated[str, doc("Its id.")]
    action: Annotated[Action, doc("What is done to each job.")]
    filter: Annotated[
        dict[str, Any] | None,
        Column("CASE WHEN filter -> 'ids' IS NULL THEN filter END"),
        doc("Which jobs; null where they were named."),
    ]
    ids: Annotated[
        int | None,
        Column("CASE WHEN jsonb_typeof(filter -> 'ids') = 'array' THEN jsonb_array_length(filter -> 'ids') END"),
        doc("How many jobs, where these were named."),
    ]
    status: Annotated[
        Literal["running", "done", "aborted", "failed"], doc("`failed`: it can't be carried out; see `error`.")
    ]
    error: Annotated[str | None, doc("Why it failed.")]
    expected: Annotated[int, doc("How many jobs met the filter when it was started.")]
    expected_exact: Annotated[bool, doc("Whether these were counted, or are an estimate.")]
    changed: Annotated[dict[str, int], doc("Jobs that were changed, by their state before.")]
    changed_total: Annotated[int, Column(_DONE.format("changed")), doc("The sum of these.")]
    skipped: Annotated[
        dict[str, int],
        doc(
            "Jobs that were left alone, by why: `twin` (another job for the same is live), `moved` (the account is "
            "at another GitLab now), `state` (they don't meet the filter any more), `gone` (deleted)."
        ),
    ]
    skipped_total: Annotated[int, Column(_DONE.format("skipped")), doc("The sum of these.")]
    created_at: Annotated[Time, doc("When it was started.")]
    created_by: Annotated[str, doc("Who started it.")]
    updated_at: Annotated[Time, doc("When it last got on.")]
    finished_at: Annotated[Time | None, doc("When it ended.")]
    node_id: Annotated[str | None, doc("The node that works on it, or did last.")]
