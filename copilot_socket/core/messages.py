"""What crawlers say. One class a message type, field by field as in the JSON Schemas of ``schemas/``.

On the wire the names are in camelCase (``crawlerId``), but for the few that the protocol spells otherwise.
"""

from collections.abc import Callable
from typing import Any, cast

import attrs

from copilot_socket.core.records import record

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
    """How far it is."""

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
    items: tuple[Any, ...] | None = attrs.field(default=None, repr=False)


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
class DiscoveredJob:
    """A job that discovery found."""

    job_type: str
    entity_id: str
    namespace_path: str
    entity_name: str
    priority: int | None = None
    estimated_size: Counts | None = None


@attrs.frozen
class JobsDiscovered:
    """What the crawler came across, and what it becomes."""

    discovered_jobs: tuple[DiscoveredJob, ...]
    discovery_summary: Json | None = None


@attrs.frozen
class Entity:
    """A group or project that exists."""

    id: str | int
    name: str
    path: str
    parent_id: str | int | None = None


@attrs.frozen
class Discovery:
    """Areas for the job's account."""

    entity_type: str
    entities: tuple[Entity, ...]


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

SNAKE_CASE = frozenset({JobsDiscovered, DiscoveredJob, TokenRefreshRequest})
"""The classes whose fields have on the wire the names that they have here."""

ELEMENTS = {"jobs_discovered": "discovered_jobs", "discovery": "entities"}
"""Message type → the list of which a bad element costs only itself."""
PATHS = {"jobs_discovered": "namespace_path", "discovery": "path"}
"""Message type → the field of such an element that is a path."""


@attrs.frozen
class ElementFault:
    """What was wrong with one element; ``path`` is a JSON pointer that names its index."""

    index: int
    path: str
    message: str


@record
class Reference:
    """What is kept of a message while its reply is pending; the message itself may be large."""

    type: str
    job_id: str | None
    ref: str
    faults: tuple[ElementFault, ...]


@record
class Message:
    """A valid message: *value*, as it came but for bad elements, of which ``faults`` tells.

    What few ask for is made when they do: of most heartbeats nobody asks anything.
    """

    type: str
    job_id: str | None
    value: Json = attrs.field(repr=False)
    structure: Callable[[Json], Data] = attrs.field(repr=False)
    faults: tuple[ElementFault, ...] = ()
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
