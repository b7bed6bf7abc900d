"""Encodes and decodes messages: one JSON object per line."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Message = dict[str, Any]
JOB_IS_GONE = frozenset({"stale_assignment", "unknown_job", "unauthorized"})
"""Error codes which mean that the job is no longer assigned to this crawler."""
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


def time_of_day(seconds: float | None) -> str | None:
    """Seconds since 1970 in ISO 8601; None for what is no time, which a proxy's header may contain."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def timestamp() -> str:
    """The present time of day, for the ``timestamp`` of messages, by which nobody decides anything."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode(kind: str, data: Mapping[str, Any], sent: str, *, job: str | None = None, ref: str | None = None) -> bytes:
    """One message with the timestamp *sent*, and its newline."""
    envelope = {"type": kind, "timestamp": sent, **present(id=ref, jobId=job), "data": data}
    return json.dumps(envelope, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def decode(line: bytes) -> Message | None:
    """The message in *line*, or None if it is not an object with a ``type``."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return None
    if not isinstance(message.get("data"), dict):
        message["data"] = {}
    return message
