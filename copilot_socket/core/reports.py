"""Reports of crawlers, independent of the wire: what the writer stores."""

from typing import Any

import attrs

from copilot_socket.core.ends import Cause
from copilot_socket.core.records import record

Json = dict[str, Any]
Encoded = bytes
"""An encoded JSON object, for what is only stored: it takes a twentieth of the memory of Python objects."""


@record
class Started:
    """The crawler has started the job."""


@record
class Progressed:
    """Progress. ``progress`` is merged into the job's, key by key; ``resume_state`` replaces the job's."""

    progress: Json
    resume_state: Encoded | None = None


@record
class Completed:
    """The job is done."""

    progress: Json


@record
class Failed:
    """The attempt has failed."""

    error: str
    error_type: str | None
    recoverable: bool
    progress: Json = attrs.field(factory=dict)
    resume_state: Encoded | None = None
    stack_trace: str | None = None
    context: Encoded | None = None
    cause: Cause = Cause.JOB_ERROR
    inferred: bool = False
    """The crawler has not named the cause."""
    retry_after: float | None = None
    """Seconds that GitLab asked to wait."""
    blocked: bool = False
    """GitLab has answered 403 to the crawler's address, whatever it asks for."""


@record
class GivenBack:
    """The crawler gives the job back; ``retry_after`` in seconds."""

    cause: Cause
    message: str | None = None
    resume_state: Encoded | None = None
    retry_after: float | None = None
    progress: Json = attrs.field(factory=dict)


@record
class Found:
    """A discovered job or area.

    ``kind`` is a ``job_type`` (:data:`copilot_socket.core.jobs.SPAWNS`), or ``group`` or ``project`` for an area for
    which no jobs are created. ``gitlab_id`` None: not known. ``priority`` None: that of the reporting job.
    """

    kind: str
    full_path: str
    name: str
    gitlab_id: int | None = None
    priority: int | None = None


@record
class Discovered:
    """Jobs and areas that the crawler discovered; ``progress`` is merged into the job's, key by key."""

    found: tuple[Found, ...]
    progress: Json = attrs.field(factory=dict)


@record
class Refused:
    """A discovery of the job was refused as a whole, with *error*.

    ``known``: its crawler has the capability ``ack``, was notified, and may send the discovery again in parts.
    Otherwise the job can't be completed.
    """

    error: str
    error_type: str
    known: bool


@record
class Incomplete(Failed):
    """Completed, but a discovery was refused without its crawler's knowledge. Made by the server from reports."""


Body = Started | Progressed | Completed | Failed | GivenBack | Discovered | Refused

INTERRUPTIONS = (Failed, GivenBack)
"""The endings that the state machine decides on."""
ENDINGS = (Completed, *INTERRUPTIONS)
"""The reports that end an attempt. A tuple, for ``isinstance``: a union would be built anew each time."""


@record
class Report:
    """A report on an assignment from the crawler with identity ``crawler``."""

    assignment: str
    crawler: str
    body: Body
    size: int = 0
    """Bytes of the message that contained it."""


def job_of(assignment: str) -> str:
    """The job id in an assignment id ``<job id>.<try>.<random>``; of other text, the part before the first dot."""
    return assignment.partition(".")[0]


def try_of(assignment: str) -> int:
    """The attempt's number in an assignment id; 0 where there is none."""
    number = assignment.split(".")[1] if assignment.count(".") == 2 else ""
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0


def incomplete(error: str) -> Incomplete:
    """What a completion turns into where a discovery was refused with *error*."""
    return Incomplete(f"completed without a discovery that was refused: {error}", "discovery_refused", False)
