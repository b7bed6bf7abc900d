"""What is kept of a crawler's last heartbeat for socket_connections and live events, with secrets masked."""

from typing import Any, cast

import attrs
import orjson

from copilot_socket.core.masking import masked_json
from copilot_socket.core.messages import Heartbeat, Message

MAX_MEMORY_USAGE = 4096
"""Bytes of JSON up to which ``memoryUsage``, which may be any value, is kept."""
SMALL = 1024
"""Bytes up to which a heartbeat is kept as a message until its activity is read: most are replaced before that."""


@attrs.frozen
class Activity:
    """``systemStatus`` of a heartbeat, and in ``details`` its other fields as encoded JSON."""

    system_status: str
    details: bytes


def activity_of(message: Message) -> Activity:
    """The activity in the heartbeat *message*, bounded and valid as JSON."""
    data = cast(Heartbeat, message.data)
    details = {
        "activeJobs": data.active_jobs,
        "totalProcessed": data.total_processed,
        "memoryUsage": _bounded(data.memory_usage),
        "uptime": data.uptime,
    }
    return Activity(data.system_status, orjson.dumps(details))


def _bounded(value: Any) -> orjson.Fragment | None:
    """*value* as JSON; None if it is too large, or can't be encoded (nested too deeply)."""
    try:
        encoded = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return None
    if len(encoded) > MAX_MEMORY_USAGE:
        return None
    found = orjson.loads(masked_json(b'{"value":%b}' % encoded))
    return orjson.Fragment(orjson.dumps(found.get("value")))
