"""What crawlers say. One class a message type, field by field as in the JSON Schemas of ``schemas/``.

On the wire the names are in camelCase (``crawlerId``), but for the few that the protocol spells otherwise.
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
    """Who the crawler is."""

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
    """The crawler has begun."""

    entity_type: str | None = None
    entity_id: str | None = None


@attrs.frozen
class JobProgress:
    """How far it is. ``items``, which the schema has too, are not kept."""

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
    """It is done."""

    success: bool
    final_counts: Counts
    message: str | None = None
    output_files: tuple[str, ...] | None = None


@attrs.frozen
class JobFailed:
    """It did not work."""

    error: str
    is_recoverable: bool
    error_type: str | None = None
    resume_state: Json | None = None
    partial_counts: Counts | None = None
    stack_trace: str | None = None
    context: Json | None = None


@attrs.frozen
class JobsDiscovered:
    """What the crawler came across, and what it becomes."""

    discovered_jobs: tuple[Found, ...]
    discovery_summary: Json | None = None


@attrs.frozen
class Discovery:
    """Areas for the job's account: ``entity_type`` is the kind of each, and need not be one of an area."""

    entity_type: str
    entities: tuple[Found, ...]


@attrs.frozen
class TokenRefreshRequest:
    """The access token no longer works."""

    current_token_expired: bool | None = None
    last_successful_request: str | None = None
    error_details: str | None = attrs.field(default=None, repr=False)


Data = (
    Hello
    | Heartbeat
    | JobRequest
    | JobStarted
    | JobProgress
    | JobCompleted
    | JobFailed
    | JobsDiscovered
    | Discovery
    | TokenRefreshRequest
)

INCOMING: dict[str, type] = {
    "hello": Hello,
    "heartbeat": Heartbeat,
    "job_request": JobRequest,
    "job_started": JobStarted,
    "job_progress": JobProgress,
    "job_completed": JobCompleted,
    "job_failed": JobFailed,
    "jobs_discovered": JobsDiscovered,
    "discovery": Discovery,
    "token_refresh_request": TokenRefreshRequest,
}
"""Message type → the class of its data."""

SNAKE_CASE = frozenset({JobsDiscovered, TokenRefreshRequest})
"""The classes whose fields have on the wire the names that they have here."""

ELEMENTS = {"jobs_discovered": "discovered_jobs", "discovery": "entities"}
"""Message type → the list of which a bad element costs only itself."""
PATHS = {"jobs_discovered": "namespace_path", "discovery": "path"}
"""Message type → the field of such an element that is a path."""
ENDINGS = frozenset({"job_completed", "job_failed"})
"""The types that end a try: they are stored without an object or a list that is over its bound."""


@attrs.frozen
class Fault:
    """What was wrong with a part of a message that the rest can do without; ``path`` is a JSON pointer to it."""

    path: str
    message: str


@record
class Reference:
    """What is kept of a message while its reply is pending; the message itself may be large."""

    type: str
    job_id: str | None
    ref: str
    faults: tuple[Fault, ...]


@record
class Message:
    """A valid message: *value*, as it came but for the parts that ``faults`` tells of.

    What few ask for is made when they do: of most heartbeats nobody asks anything.
    """

    type: str
    job_id: str | None
    value: Json = attrs.field(repr=False)
    structure: Callable[[Json], Data] = attrs.field(repr=False)
    faults: tuple[Fault, ...] = ()
    size: int = 0
    """Bytes that it came in."""

    @property
    def data(self) -> Data:
        """Its data as an object of their class."""
        return self.structure(self.value.get("data") or {})

    @property
    def ref(self) -> str:
        """What answers refer to it by."""
        id_: str | None = self.value.get("id")
        return cast(str, self.value["timestamp"]) if id_ is None else id_

    @property
    def reference(self) -> Reference:
        """What its reply needs of it."""
        return Reference(self.type, self.job_id, self.ref, self.faults)


def wire_name(cls: type, field: str) -> str:
    """The name on the wire of *field* of *cls*."""
    if cls in SNAKE_CASE:
        return field
    first, *rest = field.split("_")
    return first + "".join(part.capitalize() for part in rest)
