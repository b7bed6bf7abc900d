"""The job: its states, commands and events (docs/protocol.md, "The life of a job")."""

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType

from copilot_socket.core.ends import Cause


class Status(StrEnum):
    """The values of ``jobs.status``. ``job_history`` keeps their order: a new one comes last."""

    QUEUED = "queued"
    ASSIGNED = "assigned"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    WAITING_CREDENTIAL = "waiting_credential"


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})
HELD = frozenset({Status.ASSIGNED, Status.RUNNING})
"""The states in which a crawler holds the job."""

ENTITY_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "GROUP_PROJECT_DISCOVERY": "areas",
        "group": "group",
        "project": "project",
        "issues": "issue",
        "mergeRequests": "merge_request",
        "commits": "commit",
        "branches": "branch",
        "pipelines": "pipeline",
        "users": "user",
        "releases": "release",
        "groupMilestones": "groupMilestones",
        "epics": "epics",
        "jobs": "jobs",
        "mergeRequestNotes": "mergeRequestNotes",
        # Taken by the crawler of `copilot-socket probe` alone: no other names this type.
        "probe": "probe",
    }
)
"""Command → the entity type that a crawler must support to be assigned its jobs."""

COMMANDS = tuple(ENTITY_TYPES)
KNOWN_ENTITY_TYPES = frozenset(ENTITY_TYPES.values())

_BY_ENTITY_TYPE: Mapping[str, str] = MappingProxyType({entity: command for command, entity in ENTITY_TYPES.items()})


@lru_cache
def commands_for(entity_types: tuple[str, ...]) -> tuple[str, ...]:
    """The commands whose jobs a crawler with *entity_types* may be assigned; unknown types are ignored."""
    return tuple(_BY_ENTITY_TYPE[entity] for entity in entity_types if entity in _BY_ENTITY_TYPE)


WITHOUT_PATH = frozenset({"GROUP_PROJECT_DISCOVERY", "users"})
"""Commands that need no ``full_path``."""

PLAIN_ENTITY_TYPES = (
    "areas",
    "project",
    "group",
    "user",
    "issue",
    "merge_request",
    "commit",
    "branch",
    "pipeline",
    "release",
)
"""The entity types of a crawler that names none."""

SPAWNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "crawl_group": ("group", "groupMilestones", "epics"),
        "crawl_project": (
            "project",
            "issues",
            "mergeRequests",
            "commits",
            "branches",
            "pipelines",
            "releases",
            "jobs",
            "mergeRequestNotes",
        ),
        "crawl_user": ("users",),
        "discover_areas": ("GROUP_PROJECT_DISCOVERY",),
        "discover_namespaces": ("GROUP_PROJECT_DISCOVERY",),
    }
)
"""``job_type`` of a discovered job → the commands it becomes."""

AREA_TYPES: Mapping[str, str] = MappingProxyType(
    {"crawl_group": "group", "crawl_project": "project", "group": "group", "project": "project"}
)
"""``job_type`` of a discovered job, or entity type of a discovered entity → the type of the area that it records."""


class Event(StrEnum):
    """The events of the state machine. The first seven are reports of the job's crawler."""

    STARTED = "job_started"
    PROGRESSED = "job_progress"
    COMPLETED = "job_completed"
    FAILED = "job_failed"
    FAILED_FOR_GOOD = "job_failed (not recoverable)"
    INCOMPLETE = "job_completed (a discovery was refused)"
    GIVEN_BACK = "job_released"
    CLAIMED = "claim"
    RELEASED = "release"
    RETURNED = "return"
    PUT_OFF = "put off"
    TIMED_OUT = "time-out"
    NO_CREDENTIAL = "no credential"
    RENEWED = "credential renewed"
    PAUSED = "pause"
    RESUMED = "resume"
    CANCELLED = "cancel"
    RETRIED = "retry"
    RECOVERED = "recover"


class Outcome(StrEnum):
    """How an attempt ended (``job_tries.outcome``)."""

    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    GIVEN_BACK = "given_back"
    RELEASED = "released"
    RETURNED = "returned"
    CANCELLED = "cancelled"
    CREDENTIAL = "credential"


class Loss(StrEnum):
    """Why a job was taken from its crawler: the reason of its release."""

    GONE = "its crawler is gone"
    WITHOUT_IT = "its crawler came back without it"
    IDLE = "its crawler asked for work instead of reporting"

    @property
    def cause(self) -> Cause:
        """The cause of the attempt's end."""
        return Cause.IDLE if self is Loss.IDLE else Cause.CRAWLER_LOST
