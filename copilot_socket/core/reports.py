"""What becomes of jobs in the hands of crawlers, stripped of the wire: the events that the writer stores."""

from typing import Any

import attrs

from copilot_socket.core.records import record

Json = dict[str, Any]
Encoded = bytes
"""A JSON object as it is stored: what is only kept takes a twentieth of the room that it takes as Python objects."""


@record
class Started:
    """The crawler has begun."""

    entity_type: str | None = None
    entity_id: str | None = None


@record
class Progressed:
    """How far it is. ``progress`` is merged into the job's, key by key; ``resume_state`` replaces the job's."""

    progress: Json
    resume_state: Encoded | None = None


@record
class Completed:
    """It is done."""

    progress: Json


@record
class Failed:
    """It did not work."""

    error: str
    error_type: str | None
    recoverable: bool
    progress: Json = attrs.field(factory=dict)
    resume_state: Encoded | None = None
    stack_trace: str | None = None
    context: Encoded | None = None


@record
class Found:
    """One thing that the crawler came across.

    ``kind`` is a ``job_type`` (:data:`copilot_socket.core.jobs.SPAWNS`), or ``group`` or ``project`` for an area of
    which no jobs are made. ``gitlab_id`` None: not known. ``priority`` None: that of the reporting job.
    """

    kind: str
    full_path: str
    name: str
    gitlab_id: int | None = None
    priority: int | None = None


@record
class Discovered:
    """What the crawler came across; ``progress`` is kept beside the job's other progress."""

    found: tuple[Found, ...]
    progress: Json = attrs.field(factory=dict)


@record
class Refused:
    """A discovery of it was refused as a whole, for the reason *error*.

    ``known``: its crawler hears acks, so it knows, and may send it again in parts. Else the job can't be completed.
    """

    error: str
    error_type: str
    known: bool


@record
class Incomplete(Failed):
    """It is done, but for a discovery that was refused without its crawler's knowledge. No crawler reports this."""


Body = Started | Progressed | Completed | Failed | Discovered | Refused

ENDINGS = (Completed, Failed)
"""What ends an attempt. To ``isinstance`` a tuple: a union would be made anew each time."""


@record
class Report:
    """One event about one assignment, as told by the crawler with identity ``crawler``."""

    assignment: str
    crawler: str
    body: Body
    size: int = 0
    """Bytes of the message that it came in."""

    @property
    def job_id(self) -> str:
        """The job that the assignment's id names."""
        return job_of(self.assignment)


def job_of(assignment: str) -> str:
    """The job id in an assignment id ``<job id>.<try>.<random>``; of anything else, what stands before a dot."""
    return assignment.partition(".")[0]


def try_of(assignment: str) -> int:
    """The number of the attempt in an assignment id; 0 where there is none."""
    number = assignment.split(".")[1] if assignment.count(".") == 2 else ""
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0


def incomplete(error: str) -> Incomplete:
    """What a completion comes to behind a discovery that was refused with *error*."""
    return Incomplete(f"completed without a discovery that was refused: {error}", "discovery_refused", False)
