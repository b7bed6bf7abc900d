"""Encodes and decodes messages: one JSON object per line."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

Message = dict[str, Any]
JOB_IS_GONE = frozenset({"stale_assignment", "unknown_job", "unauthorized"})
"""Error codes which mean that the job is no longer assigned to this crawler."""


@attrs.frozen
class Hello:
    """How a crawler introduces itself. Without *entity_types* it gets those of a plain crawler.

    With ``ack`` among the *capabilities* reports are kept until they are acknowledged; without it they count as
    delivered once they are written. With ``commands`` the server tells when a job is cancelled or to be paused.
    """

    crawler_id: str
    entity_types: tuple[str, ...] = ()
    max_jobs: int = 1
    version: str | None = None
    token: str | None = attrs.field(default=None, repr=False)
    capabilities: tuple[str, ...] = ("ack", "commands")

    def data(self, assignments: list[str]) -> dict[str, Any]:
        """The message's ``data``; *assignments* is what the crawler still holds."""
        return present(
            crawlerId=self.crawler_id,
            version=self.version,
            token=self.token,
            maxJobs=self.max_jobs,
            entityTypes=list(self.entity_types) or None,
            assignments=assignments,
            capabilities=list(self.capabilities),
        )


LONGEST_WAIT = 3600.0
"""Seconds that the server waits at most."""


def present(**fields: Any) -> dict[str, Any]:
    """The *fields* that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def milliseconds(seconds: float | None) -> float | None:
    """A time to wait as it goes over the wire, from 0 to :data:`LONGEST_WAIT`: GitLab's headers may be nonsense."""
    if seconds is None:
        return None
    return min(seconds, LONGEST_WAIT) * 1000 if seconds > 0 else 0.0


def encode(kind: str, data: Mapping[str, Any], *, job: str | None = None, ref: str | None = None) -> bytes:
    """One message with the present time of day, without the newline."""
    # The reactor's clock may be monotonic, with no relation to the time of day.
    timestamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    envelope = {"type": kind, "timestamp": timestamp, **present(id=ref, jobId=job), "data": data}
    return json.dumps(envelope, separators=(",", ":"), allow_nan=False).encode("ascii")


def decode(line: bytes) -> Message | None:
    """The message in *line*, or None if it is not an object with a ``type``."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return None
    if not isinstance(message.get("data"), dict):
        message["data"] = {}
    return message
