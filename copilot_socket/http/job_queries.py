"""Which jobs: the filters of lists and of bulk operations (docs/http.md, "Finding jobs")."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import attrs

from copilot_socket.core.describing import doc
from copilot_socket.core.ends import Cause
from copilot_socket.core.jobs import COMMANDS, Status
from copilot_socket.http.checks import Check, flag, integer, one_of, short_name, some_of, text, timestamp, ulid
from copilot_socket.http.queries import Listed
from copilot_socket.store.job_lists import CHILDREN, LARGE_COLUMNS, Order

MAX_WAIT = 60


def _fingerprint(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{16}", value):
        raise ValueError("must be the fingerprint of an error, 16 hexadecimal digits")
    return value


def _prefix(value: Any) -> str:
    path: str = text(1024)(value).strip("/")
    if not path:
        raise ValueError("must be the path of a group or project")
    return path


id_of_a_job = ulid("a job")
a_path = Check(_prefix, {**text(1024).schema, "pattern": "[^/\\u0000]"})
a_fingerprint = Check(_fingerprint, {"type": "string", "pattern": "^[0-9a-f]{16}$"})
_DESCENDING = "-"


@attrs.frozen(kw_only=True, slots=False)  # or it could not be one of two bases
class JobFilterBody:
    """Which jobs: those that meet all that is given."""

    status: Annotated[frozenset[str] | None, some_of(*Status), doc("Their state is one of these.")] = None
    account_id: Annotated[str | None, text(255), doc("Their account.")] = None
    user_id: Annotated[str | None, short_name, doc("The user for whom they are.")] = None
    command: Annotated[frozenset[str] | None, some_of(*COMMANDS), doc("Their command is one of these.")] = None
    cause: Annotated[frozenset[str] | None, some_of(*Cause), doc("Their last attempt ended so.")] = None
    error: Annotated[str | None, a_fingerprint, doc("The fingerprint of their last failure.")] = None
    full_path: Annotated[str | None, text(1024), doc("Their group or project.")] = None
    path_prefix: Annotated[str | None, a_path, doc("A group or project, with all below it.")] = None
    search: Annotated[str | None, text(255), doc("Part of their path, branch or id, in any case.")] = None
    spawned_from: Annotated[str | None, id_of_a_job, doc("The job that has spawned them.")] = None
    root: Annotated[str | None, id_of_a_job, doc("This job and all that descend from it.")] = None
    spawned: Annotated[bool | None, flag, doc("Whether another job has spawned them.")] = None
    started: Annotated[bool | None, flag, doc("Whether an attempt has started.")] = None
    finished: Annotated[bool | None, flag, doc("Whether they have ended.")] = None
    created_after: Annotated[str | None, timestamp, doc("Submitted then, or later.")] = None
    created_before: Annotated[str | None, timestamp, doc("Submitted before.")] = None
    updated_after: Annotated[str | None, timestamp, doc("Last changed then, or later.")] = None
    updated_before: Annotated[str | None, timestamp, doc("Not changed since.")] = None
    finished_after: Annotated[str | None, timestamp, doc("Ended then, or later.")] = None
    finished_before: Annotated[str | None, timestamp, doc("Ended before.")] = None

    @property
    def given(self) -> Mapping[str, Any]:
        """The filters by name, as JSON."""
        named = {name: getattr(self, name) for name in attrs.fields_dict(JobFilterBody)}
        return {
            name: sorted(value) if isinstance(value, frozenset) else value
            for name, value in named.items()
            if value is not None
        }


@attrs.frozen(kw_only=True)
class JobQuery(Listed, JobFilterBody):
    """Which jobs, and how they are listed."""

    order: Annotated[
        str,
        one_of(*(f"{sign}{order}" for order in Order for sign in ("", _DESCENDING))),
        doc("Ascending; with `-` descending."),
    ] = f"-{Order.CREATED}"
    include: Annotated[
        frozenset[str],
        some_of(*LARGE_COLUMNS, CHILDREN),
        doc("Columns that may be large, and the number of spawned jobs, which are else left out."),
    ] = frozenset()

    @property
    def ordered(self) -> tuple[Order, bool]:
        """The order, and whether it is descending."""
        return Order(self.order.removeprefix(_DESCENDING)), self.order.startswith(_DESCENDING)


@attrs.frozen(kw_only=True)
class WaitQuery:
    """How long to wait."""

    wait: Annotated[
        int, integer(0, MAX_WAIT), doc("Seconds to wait until the job is over; then it is answered as it is.")
    ] = 0
