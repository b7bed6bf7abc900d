"""The job: its states, commands, events and transitions (docs/protocol.md, "The life of a job").

:func:`decide` is the whole state machine. The store applies its transitions; the store's fast path for reports
(started, progress, completed) is written in SQL, and a test compares it with this module cell by cell.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType

import attrs

from copilot_socket.core.retry import RetryPolicy


class Status(StrEnum):
    """The values of ``jobs.status``."""

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
    """The events of the state machine. The first six are reports of the job's crawler."""

    STARTED = "job_started"
    PROGRESSED = "job_progress"
    COMPLETED = "job_completed"
    FAILED = "job_failed"
    FAILED_FOR_GOOD = "job_failed (not recoverable)"
    INCOMPLETE = "job_completed (a discovery was refused)"
    CLAIMED = "claim"
    RELEASED = "release"
    RETURNED = "return"
    PUT_OFF = "put off"
    TIMED_OUT = "time-out"
    NO_CREDENTIAL = "no credential"
    RENEWED = "credential renewed"
    CANCELLED = "cancel"
    RETRIED = "retry"


class Outcome(StrEnum):
    """How an attempt ended (``job_tries.outcome``)."""

    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    RELEASED = "released"
    RETURNED = "returned"
    CANCELLED = "cancelled"
    CREDENTIAL = "credential"


class Loss(StrEnum):
    """Why a job was taken from its crawler: the reason of its release."""

    GONE = "its crawler is gone"
    WITHOUT_IT = "its crawler came back without it"
    IDLE = "its crawler asked for work instead of reporting"


@attrs.frozen
class Job:
    """The state that transitions depend on."""

    status: Status
    attempts: int = 0
    max_attempts: int = 3
    releases: int = 0
    credential_refused: bool = False
    """Its crawler requested a new token and was refused one."""
    credential_valid: bool = False
    """The account's credential works (again)."""


@attrs.frozen
class Transition:
    """The new state of a job. ``delay``: seconds until it may be claimed again; an ``outcome`` ends the attempt."""

    status: Status
    attempts: int
    releases: int
    delay: float = 0.0
    outcome: Outcome | None = None
    resolution: str | None = None


@attrs.frozen
class Refusal:
    """The event is not allowed in this state; nothing changes."""

    status: Status
    event: Event

    def __str__(self) -> str:
        return f"a job that is {self.status} takes no {self.event}"


def decide(job: Job, event: Event, policy: RetryPolicy, jitter: float) -> Transition | Refusal:
    """The transition that *event* causes in *job*; *jitter* in [0, 1) places a back-off within its range."""
    if job.status not in _ALLOWED[event]:
        return Refusal(job.status, event)
    return _RULES[event](job, policy, jitter)


def _to(job: Job, status: Status, outcome: Outcome | None = None) -> Transition:
    return Transition(status, job.attempts, job.releases, outcome=outcome)


def _failed(job: Job, policy: RetryPolicy, jitter: float) -> Transition:
    return _spend(job, policy, jitter, Outcome.FAILED)


def _timed_out(job: Job, policy: RetryPolicy, jitter: float) -> Transition:
    return _spend(job, policy, jitter, Outcome.TIMED_OUT)


def _spend(job: Job, policy: RetryPolicy, jitter: float, outcome: Outcome) -> Transition:
    """A failure spends an attempt; a refused credential spends none."""
    if job.credential_refused:
        return _no_credential(job, policy, jitter)
    attempts = job.attempts + 1
    if attempts >= job.max_attempts:
        return Transition(
            Status.FAILED, attempts, job.releases, outcome=outcome, resolution="dead letter: no attempts left"
        )
    delay = policy.after_failure(attempts, jitter)
    return Transition(
        Status.QUEUED,
        attempts,
        job.releases,
        delay,
        outcome,
        f"queued again, attempt {attempts + 1} of {job.max_attempts}",
    )


def _failed_for_good(job: Job, policy: RetryPolicy, jitter: float) -> Transition:
    if job.credential_refused:
        return _no_credential(job, policy, jitter)
    return Transition(
        Status.FAILED,
        job.attempts + 1,
        job.releases,
        outcome=Outcome.FAILED,
        resolution="dead letter: not recoverable",
    )


def _incomplete(job: Job, _policy: RetryPolicy, _jitter: float) -> Transition:
    """Final: another attempt would have the same discovery refused, until someone raises the limit."""
    resolution = "dead letter: a discovery was refused"
    return Transition(Status.FAILED, job.attempts + 1, job.releases, outcome=Outcome.FAILED, resolution=resolution)


def _released(job: Job, policy: RetryPolicy, jitter: float) -> Transition:
    """Losing its crawler spends no attempt, but the number of releases is limited."""
    if job.credential_refused:
        return _no_credential(job, policy, jitter)
    releases = job.releases + 1
    if releases >= policy.max_releases:
        return Transition(
            Status.FAILED,
            job.attempts,
            releases,
            outcome=Outcome.RELEASED,
            resolution=f"dead letter: lost its crawler {releases} times",
        )
    delay = policy.after_release(releases, jitter)
    return Transition(Status.QUEUED, job.attempts, releases, delay, Outcome.RELEASED)


def _put_off(job: Job, policy: RetryPolicy, _jitter: float) -> Transition:
    """Something that all such jobs need, such as a token, is temporarily unavailable."""
    return Transition(Status.QUEUED, job.attempts, job.releases, max(policy.base, policy.put_off), Outcome.RETURNED)


def _no_credential(job: Job, _policy: RetryPolicy, _jitter: float) -> Transition:
    """Wait for the credential to be renewed, unless it was already, while the crawler still had the old token."""
    if job.credential_valid:
        return _to(job, Status.QUEUED, Outcome.CREDENTIAL)
    return Transition(
        Status.WAITING_CREDENTIAL,
        job.attempts,
        job.releases,
        outcome=Outcome.CREDENTIAL,
        resolution="waits until the account's credential is renewed",
    )


def _cancelled(job: Job, _policy: RetryPolicy, _jitter: float) -> Transition:
    return _to(job, Status.CANCELLED, Outcome.CANCELLED if job.status in HELD else None)


_LIVE = frozenset(Status) - TERMINAL

_ALLOWED: Mapping[Event, frozenset[Status]] = {
    Event.STARTED: HELD,
    Event.PROGRESSED: HELD,
    Event.COMPLETED: HELD,
    Event.FAILED: HELD,
    Event.FAILED_FOR_GOOD: HELD,
    Event.INCOMPLETE: HELD,
    Event.CLAIMED: frozenset({Status.QUEUED}),
    Event.RELEASED: HELD,
    Event.RETURNED: frozenset({Status.ASSIGNED}),
    Event.PUT_OFF: frozenset({Status.ASSIGNED}),
    Event.TIMED_OUT: HELD,
    Event.NO_CREDENTIAL: HELD,
    Event.RENEWED: frozenset({Status.WAITING_CREDENTIAL}),
    Event.CANCELLED: _LIVE,
    Event.RETRIED: frozenset({Status.FAILED, Status.CANCELLED}),
}

_RULES: Mapping[Event, Callable[[Job, RetryPolicy, float], Transition]] = {
    Event.STARTED: lambda job, _p, _j: _to(job, Status.RUNNING),
    Event.PROGRESSED: lambda job, _p, _j: _to(job, job.status),
    Event.COMPLETED: lambda job, _p, _j: _to(job, Status.COMPLETED, Outcome.COMPLETED),
    Event.FAILED: _failed,
    Event.FAILED_FOR_GOOD: _failed_for_good,
    Event.INCOMPLETE: _incomplete,
    Event.CLAIMED: lambda job, _p, _j: _to(job, Status.ASSIGNED),
    Event.RELEASED: _released,
    Event.RETURNED: lambda job, _p, _j: _to(job, Status.QUEUED, Outcome.RETURNED),
    Event.PUT_OFF: _put_off,
    Event.TIMED_OUT: _timed_out,
    Event.NO_CREDENTIAL: _no_credential,
    Event.RENEWED: lambda job, _p, _j: _to(job, Status.QUEUED),
    Event.CANCELLED: _cancelled,
    Event.RETRIED: lambda _job, _p, _j: Transition(Status.QUEUED, 0, 0),
}
