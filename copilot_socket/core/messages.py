"""Messages from crawlers: a class per type, field by field as in the JSON Schemas of ``schemas/``.

Names on the wire are in camelCase (``crawlerId``), except those of :data:`SNAKE_CASE`.
"""

from collections.abc import Callable
from typing import Any, cast

import attrs

from copilot_socket.core.records import record
from copilot_socket.core.reports import Found

Counts = dict[str, float]
Json = dict[str, Any]


@attrs.frozen
class Hello:
    """Identifies the crawler and its limits."""

    crawler_id: str
    version: str | None = None
    token: str | None = attrs.field(default=None, repr=False)
    max_jobs: int | None = None
    entity_types: tuple[str, ...] | None = None
    assignments: tuple[str, ...] | None = None
    capabilities: tuple[str, ...] | None = None


@attrs.frozen
class Heartbeat:
    """A sign of life. ``uptime`` in seconds."""

    active_jobs: int
    total_processed: int
    system_status: str
    memory_usage: Any = None
    uptime: float | None = None


@record
class JobRequest:
    """A request for work."""

    limit: int | None = None


@record
class JobStarted:
    """The crawler has started the job."""

    entity_type: str | None = None
    entity_id: str | None = None


@attrs.frozen
class JobProgress:
    """Progress of the job. ``items``, which the schema allows, are not kept."""

    stage: str
    entity_type: str
    processed: int
    total: int | None = None
    message: str | None = None
    resume_state: Json | None = None
    item_counts: Counts | None = None
    current_page: int | None = None
    processing_rate: float | None = None
    estimated_time_remaining: float | None = None


@record
class JobCompleted:
    """The job is done; without ``success`` it has failed."""

    success: bool
    final_counts: Counts
    message: str | None = None
    output_files: tuple[str, ...] | None = None


@attrs.frozen
class JobFailed:
    """The job has failed."""

    error: str
    is_recoverable: bool
    error_type: str | None = None
    resume_state: Json | None = None
    partial_counts: Counts | None = None
    stack_trace: str | None = None
    context: Json | None = None
    cause: str | None = None


@attrs.frozen
class JobReleased:
    """The crawler gives the job back. ``retry_after`` in milliseconds."""

    reason: str | None = None
    resume_state: Json | None = None
    retry_after: float | None = None
    message: str | None = None


@attrs.frozen
class JobsDiscovered:
    """Jobs that the crawler discovered; those for groups and projects record areas, too."""

    discovered_jobs: tuple[Found, ...]
    discovery_summary: Json | None = None


@attrs.frozen
class Discovery:
    """Areas for the job's account, if ``entity_type``, which all entities share, is ``group`` or ``project``."""

    entity_type: str
    entities: tuple[Found, ...]


@attrs.frozen
class TokenRefreshRequest:
    """The access token no longer works."""

    current_token_expired: bool | None = None
    last_successful_request: str | None = None
    error_details: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class RateLimit:
    """What GitLab said of a budget of requests. ``retry_after`` in milliseconds."""

    remaining: int
    account_id: str | None = None
    gitlab_url: str | None = None
    name: str | None = None
    limit: int | None = None
    reset_at: str | None = None
    retry_after: float | None = None


Data = (
    Hello
    | Heartbeat
    | JobRequest
    | JobStarted
    | JobProgress
    | JobCompleted
    | JobFailed
    | JobReleased
    | JobsDiscovered
    | Discovery
    | TokenRefreshRequest
    | RateLimit
)

INCOMING: dict[str, type] = {
    "hello": Hello,
    "heartbeat": Heartbeat,
    "job_request": JobRequest,
    "job_started": JobStarted,
    "job_progress": JobProgress,
    "job_completed": JobCompleted,
    "job_failed": JobFailed,
    "job_released": JobReleased,
    "jobs_discovered": JobsDiscovered,
    "discovery": Discovery,
    "token_refresh_request": TokenRefreshRequest,
    "rate_limit": RateLimit,
}
"""Message type → the class of its data."""

SNAKE_CASE = frozenset({JobsDiscovered, TokenRefreshRequest})
"""The classes whose fields have the same names on the wire."""

ELEMENTS = {"jobs_discovered": "discovered_jobs", "discovery": "entities"}
"""Message type → the list of which bad elements are refused singly."""
PATHS = {"jobs_discovered": "namespace_path", "discovery": "path"}
"""Message type → the field of such an element that is a path."""
ENDINGS = frozenset({"job_completed", "job_failed", "job_released"})
"""The types that end an attempt: an object or list that exceeds its bound is left out, the rest is stored."""


@attrs.frozen
class Fault:
    """An error in a part of a message that is left out; the rest is valid. ``path`` is a JSON pointer to the part."""

    path: str
    message: str


@record
class Reference:
    """The part of a message that is kept while its reply is pending, since the message itself may be large."""

    type: str
    job_id: str | None
    ref: str
    faults: tuple[Fault, ...]


@record
class Message:
    """A valid message: ``value``, as received but without the parts that ``faults`` lists.

    ``data`` is structured on demand: most heartbeats are replaced before they are read.
    """

    type: str
    job_id: str | None
    value: Json = attrs.field(repr=False)
    structure: Callable[[Json], Data] = attrs.field(repr=False)
    faults: tuple[Fault, ...] = ()
    size: int = 0
    """Bytes of the encoded message."""

    @property
    def data(self) -> Data:
        """Its data, structured as the class in :data:`INCOMING`."""
        return self.structure(self.value.get("data") or {})

    @property
    def ref(self) -> str:
        """The ``ref`` of answers to it: its ``id``, or else its timestamp."""
        id_: str | None = self.value.get("id")
        return cast(str, self.value["timestamp"]) if id_ is None else id_

    @property
    def reference(self) -> Reference:
        """See :class:`Reference`."""
        return Reference(self.type, self.job_id, self.ref, self.faults)


def wire_name(cls: type, field: str) -> str:
    """The wire name of *field* of *cls*."""
    if cls in SNAKE_CASE:
        return field
    first, *rest = field.split("_")
    return first + "".join(part.capitalize() for part in rest)
