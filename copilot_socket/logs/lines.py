"""Formats log events as lines."""

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from twisted.logger import LogEvent, eventAsText, formatEvent
from twisted.python.reflect import safe_str

from copilot_socket.core.printing import printable
from copilot_socket.logs.levels import ROOT

_BREAK = re.compile(r"\s*[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]\s*")


def text_line(event: LogEvent) -> str | None:
    """For people: ``<local time> [namespace#level] message`` on one line; a traceback follows, indented."""
    event = _plain_event(event)
    line = eventAsText(event, includeTraceback=False)
    if not line:
        return None
    traceback = _traceback(event).splitlines() if "log_failure" in event else []
    return "\n\t".join([one_line(line), *map(printable, traceback)]) + "\n"


def json_line(event: LogEvent) -> str:
    """For programs: one compact JSON object, with ``traceback`` for failures."""
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
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    if not text.isprintable():  # keep UTF-8, escape control characters
        text = "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)
    return text + "\n"


LINES: Mapping[str, Callable[[LogEvent], str | None]] = {"text": text_line, "json": json_line}


def message(event: LogEvent) -> str:
    """The message of *event*, on one line and without a traceback."""
    return one_line(formatEvent(_plain_event(event)))


def _plain_event(event: LogEvent) -> LogEvent:
    """*event* with its failure separate from its text. Twisted's legacy logging puts the traceback into the text."""
    if "failure" in event and event.get("log_namespace") == "log_legacy":
        first, *_ = event.get("log_text", "").split("\n", 1)
        return {**event, "log_failure": event["failure"], "log_text": first, "log_format": "{log_text}"}
    if "log_failure" in event and not event.get("log_format"):
        return {**event, "log_text": failure_text(event), "log_format": "{log_text}"}
    return event


def one_line(text: str) -> str:
    """*text* on one line, with control characters escaped, so that crawlers can't forge lines."""
    return printable(_BREAK.sub(" ", text.strip()))


def failure_text(event: LogEvent) -> str:
    """Type and text of the failure in *event*; empty if there is none."""
    failure = event.get("log_failure", event.get("failure"))
    return "" if failure is None else f"{failure.type.__name__}: {safe_str(failure.value)}"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(event: LogEvent) -> dict[str, str | float]:
    """The named values of this package's own lines. Plain values only: an object may contain secrets."""
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
    except Exception as error:  # an exception whose __str__ fails
        return f"no traceback: {error!r}"
