"""What crawlers say of themselves in heartbeats, as it is kept to be shown."""

from typing import Any, cast

import attrs
import orjson

from copilot_socket.core.messages import Heartbeat, Message

MAX_MEMORY_USAGE = 4096
"""Bytes of ``memoryUsage`` as JSON that are shown: it may be anything, and one is kept for each crawler."""
SMALL = 1024
"""Bytes of a heartbeat that is kept as it came until it is looked at: of most of them nobody ever wants to know."""


@attrs.frozen
class Activity:
    """How a crawler says it is; ``details`` is a JSON object of what else it said."""

    system_status: str
    details: bytes


def activity_of(message: Message) -> Activity:
    """What the heartbeat *message* says, in bounded memory and in a form that can be stored for sure."""
    data = cast(Heartbeat, message.data)
    details = {
        "activeJobs": data.active_jobs,
        "totalProcessed": data.total_processed,
        "memoryUsage": _bounded(data.memory_usage),
        "uptime": data.uptime,
    }
    return Activity(data.system_status, orjson.dumps(details))


def _bounded(value: Any) -> orjson.Fragment | None:
    """*value* as JSON; None where it is too large, or so odd that it can't be written."""
    try:
        encoded = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return None
    return orjson.Fragment(encoded) if len(encoded) <= MAX_MEMORY_USAGE else None
