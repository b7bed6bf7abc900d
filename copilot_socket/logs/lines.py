"""One log event as a line."""

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from twisted.logger import LogEvent, formatEvent, formatEventAsClassicLogText
from twisted.python.reflect import safe_str

from copilot_socket.logs.levels import ROOT


def text_line(event: LogEvent) -> str | None:
    """For people: ``<local time> [namespace#level] message``. Lines of a traceback or message go on indented."""
    return formatEventAsClassicLogText(event)


def json_line(event: LogEvent) -> str:
    """For programs: one compact JSON object; ``traceback`` is there for failures only."""
    line = {
        "timestamp": _iso(event["log_time"]),
        "level": event["log_level"].name,
        "namespace": event.get("log_namespace", ""),
        "message": formatEvent(event),
    }
    line |= {name: value for name, value in _fields(event).items() if name not in line}
    if "log_failure" in event:
        line["traceback"] = _traceback(event)
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"


LINES: Mapping[str, Callable[[LogEvent], str | None]] = {"text": text_line, "json": json_line}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(event: LogEvent) -> dict[str, str | float]:
    """What our own lines were given by name. Plain values only: an object may hold what nobody should read."""
    if event.get("log_namespace", "").partition(".")[0] != ROOT:
        return {}
    named = ((name, _plain(value)) for name, value in event.items() if not name.startswith("log_"))
    return {name: value for name, value in named if value is not None}


def _plain(value: Any) -> str | float | None:
    match value:
        case float() if not math.isfinite(value):
            return str(value)  # JSON has no such numbers
        case str() | bool() | int() | float():
            return value
        case BaseException():
            return safe_str(value).strip() or type(value).__name__
        case _:
            return None


def _traceback(event: LogEvent) -> str:
    try:
        return str(event["log_failure"].getTraceback())
    except Exception as error:  # an exception whose own text can't be made
        return f"no traceback: {error!r}"
