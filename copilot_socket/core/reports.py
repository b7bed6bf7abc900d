"""What becomes of jobs in the hands of crawlers, stripped of the wire: the events that the writer stores."""

from typing import Any

import attrs

from copilot_socket.core.records import record

Json = dict[str, Any]


@record
class Given:
    """It was handed out: the node's own word for whose it is, of a job that was reserved before."""


@record
class Started:
    """The crawler has begun."""

    entity_type: str | None = None
    entity_id: str | None = None


@record
class Progressed:
    """How far it is. ``progress`` is merged into the job's, key by key; ``resume_state`` replaces the job's."""

    progress: Json
    resume_state: Json | None = None


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
    resume_state: Json | None = None
    stack_trace: str | None = None
    context: Json | None = None


@record
class FoundArea:
    """A group or project that exists."""

    full_path: str
    name: str
    type: str
    gitlab_id: int | None


@record
class FoundJob:
    """A job to be spawned, unless there is one already."""

    command: str
    full_path: str | None
    priority: int | None


@record
class Discovered:
    """Areas and jobs that the crawler came across; ``progress`` is kept beside the job's other progress."""

    areas: tuple[FoundArea, ...]
    jobs: tuple[FoundJob, ...]
    progress: Json = attrs.field(factory=dict)


Body = Given | Started | Progressed | Completed | Failed | Discovered

ENDINGS = (Completed, Failed)
"""What ends a try. To ``isinstance`` a tuple: a union would be made anew each time."""


@record
class Report:
    """One event about one assignment, as told by the crawler with identity ``crawler`` (but for ``Given``)."""

    assignment: str
    crawler: str
    body: Body

    @property
    def job_id(self) -> str:
        """The job that the assignment's id names."""
        return job_of(self.assignment)


def job_of(assignment: str) -> str:
    """The job id in an assignment id ``<job id>.<try>.<random>``; of anything else, what stands before a dot."""
    return assignment.partition(".")[0]


def try_of(assignment: str) -> int:
    """The number of the try in an assignment id; 0 where there is none."""
    number = assignment.split(".")[1] if assignment.count(".") == 2 else ""
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0
