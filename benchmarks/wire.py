"""The crawlers' messages as bytes, and what is looked for in the server's: no JSON on the way of a measurement."""

import json
import re
from collections.abc import Iterable

import attrs

TIMESTAMP = "2026-01-01T00:00:00.000Z"
JOB_ID = re.compile(rb'\{"id":"([^"]+)"')
"""In a ``job_response``: every job begins so."""
COMPLETION_ACKED = b'"type":"job_completed"'
"""Only an ``ack`` says this; from a server, a report's type stands nowhere else."""
WELCOME = b'"type":"welcome"'
ERROR = b'"type":"error"'


class Broken(Exception):
    """The server did what it must not: this is no matter of speed."""


def message(type_: str, job: str | None = None, **data: object) -> bytes:
    """One message, newline-ended."""
    body: dict[str, object] = {"type": type_, "timestamp": TIMESTAMP, "data": data}
    if job is not None:
        body["jobId"] = job
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def request(limit: int = 1) -> bytes:
    """Ask for up to *limit* jobs."""
    return message("job_request", limit=limit)


@attrs.frozen
class Reports:
    """What a crawler says about one job from start to end, with gaps for its id."""

    _pieces: tuple[bytes, ...]

    @classmethod
    def of(cls, *messages: bytes) -> "Reports":
        """From messages whose ``jobId`` is ``@``."""
        return cls(tuple(b"".join(messages).split(b"@")))

    def about(self, jobs: Iterable[bytes]) -> bytes:
        """The messages about all of *jobs*."""
        return b"".join([job.join(self._pieces) for job in jobs])


LIFECYCLE = Reports.of(
    message("job_started", "@"), message("job_completed", "@", success=True, finalCounts={"issue": 1})
)


@attrs.frozen
class Heard:
    """What the server said to all crawlers of a measurement, read with care once it is over."""

    handed_out: list[str]
    completed: list[str]


def read(chunks: Iterable[bytes]) -> Heard:
    """Parse everything. Raises Broken for errors and for a job that was handed out twice in one try."""
    handed_out: list[str] = []
    completed: list[str] = []
    for line in b"".join(chunks).splitlines():
        said = json.loads(line)
        if said["type"] == "job_response":
            handed_out += [job["id"] for job in said["data"]["jobs"]]
        elif said["type"] == "ack" and said["data"]["type"] == "job_completed":
            completed.append(said["jobId"])
        elif said["type"] == "error":
            raise Broken(f"the server answered {said}")
    if len(set(handed_out)) != len(handed_out):
        raise Broken(f"{len(handed_out) - len(set(handed_out))} assignments were handed out twice")
    if len(set(completed)) != len(completed) or not set(completed) <= set(handed_out):
        raise Broken("an acknowledgement came twice, or for what nobody was given")
    return Heard(handed_out, completed)
