"""One log event as a line."""

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from twisted.logger import LogEvent, eventAsText, formatEvent
from twisted.python.reflect import safe_str

from copilot_socket.logs.levels import ROOT

_BREAK = re.compile(r"\s*[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]\s*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Those that end no line, and those that turn the direction of writing."""


def text_line(event: LogEvent) -> str | None:
    """For people: ``<local time> [namespace#level] message``, on one line. Those of a traceback follow, indented."""
    event = _plain_event(event)
    line = eventAsText(event, includeTraceback=False)
    if not line:
        return None
    traceback = _traceback(event).splitlines() if "log_failure" in event else []
    return "\n\t".join([one_line(line), *map(_escaped, traceback)]) + "\n"


def json_line(event: LogEvent) -> str:
    """For programs: one compact JSON object; ``traceback`` is there for failures only."""
    event = _plain_event(event)
    line = {
        "timestamp": _iso(event["log_time"]),
        "level": event["log_level"].name,
        "namespace": event.get("log_namespace", ""),
        "message": message(event),
    }
    line |= {name: value for name, value in _fields(event).items() if name not in line}
    if "log_failure" in event:
        line["traceback"] = _traceback(event)
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"


LINES: Mapping[str, Callable[[LogEvent], str | None]] = {"text": text_line, "json": json_line}


def message(event: LogEvent) -> str:
    """What *event* says, on one line and without a traceback."""
    return one_line(formatEvent(_plain_event(event)))


def _plain_event(event: LogEvent) -> LogEvent:
    """*event*, its failure apart from its text. Twisted's older interface puts the traceback into the text."""
    if "failure" in event and event.get("log_namespace") == "log_legacy":
        first, *_ = event.get("log_text", "").split("\n", 1)
        return {**event, "log_failure": event["failure"], "log_text": first, "log_format": "{log_text}"}
    if "log_failure" in event and not event.get("log_format"):
        return {**event, "log_text": failure_text(event), "log_format": "{log_text}"}
    return event


def one_line(text: str) -> str:
    """*text* on one line, its control characters written out: nothing that a crawler sends can pass for a line."""
    return _escaped(_BREAK.sub(" ", text.strip()))


def failure_text(event: LogEvent) -> str:
    """Type and text of the failure that *event* is about; empty if there is none."""
    failure = event.get("log_failure", event.get("failure"))
    return "" if failure is None else f"{failure.type.__name__}: {safe_str(failure.value)}"


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


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
