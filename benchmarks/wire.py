"""Crawlers' messages as bytes, and patterns for the server's, so that measurements need no JSON parser."""

import json
import re
from collections.abc import Iterable

import attrs

TIMESTAMP = "2026-01-01T00:00:00.000Z"
JOB_ID = re.compile(rb'\{"id":"([^"]+)"')
"""In a ``job_response``: every job begins so."""
COMPLETION_ACKED = b'"type":"job_completed"'
"""Occurs in an ``ack`` only."""
WELCOME = b'"type":"welcome"'
ERROR = b'"type":"error"'


class Broken(Exception):
    """The server violated the protocol or lost data, whatever its speed."""


def message(type_: str, job: str | None = None, **data: object) -> bytes:
    """One message, newline-ended."""
    body: dict[str, object] = {"type": type_, "timestamp": TIMESTAMP, "data": data}
    if job is not None:
        body["jobId"] = job
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def request(limit: int = 1) -> bytes:
    """A request for up to *limit* jobs."""
    return message("job_request", limit=limit)


@attrs.frozen
class Reports:
    """A crawler's reports on one job, with gaps for its id."""

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
    """The ids of jobs that a server sent and whose completion it acknowledged, parsed after the measurement."""

    sent: list[str]
    completed: list[str]


def read(chunks: Iterable[bytes]) -> Heard:
    """Parse everything. Raises Broken for errors, and for assignments or acks that occur twice."""
    sent: list[str] = []
    completed: list[str] = []
    for line in b"".join(chunks).splitlines():
        said = json.loads(line)
        if said["type"] == "job_response":
            sent += [job["id"] for job in said["data"]["jobs"]]
        elif said["type"] == "ack" and said["data"]["type"] == "job_completed":
            completed.append(said["jobId"])
        elif said["type"] == "error":
            raise Broken(f"the server answered {said}")
    if len(set(sent)) != len(sent):
        raise Broken(f"{len(sent) - len(set(sent))} assignments were sent twice")
    if len(set(completed)) != len(completed) or not set(completed) <= set(sent):
        raise Broken("an acknowledgement came twice, or for a job that was not sent")
    return Heard(sent, completed)
