"""Formats live events as aligned lines, with colours on a terminal that has them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from copilot_socket.cli.sse import Event
from copilot_socket.cli.style import DIM, Screen, Styled
from copilot_socket.cli.tables import text

Data = Mapping[str, Any]

_TYPES = 10
_STATES = 18
"""Widths of the columns, in characters."""


def line(event: Event, on: Screen) -> Styled:
    """Time, type, state and details of *event*."""
    state, more = _FORMATS.get(event.type, _anything)(event.data)
    return Styled(
        f"{on.paint(f'{_time(event.data)}  ', DIM)}{text(event.type):<{_TYPES}}  "
        f"{on.state(f'{text(state):<{_STATES}}')}  {text(more).rstrip()}".rstrip()
    )


def _time(data: Data) -> str:
    """The local time of day; blank if there is none."""
    try:
        return f"{datetime.fromisoformat(data['timestamp']).astimezone():%H:%M:%S}"
    except (KeyError, TypeError, ValueError):
        return " " * len("00:00:00")


def _job(data: Data) -> tuple[str, str]:
    progress = data.get("progress")
    happened = _progress(progress) if isinstance(progress, dict) else data.get("event")
    what = " ".join(str(data[name]) for name in ("command", "full_path") if name in data)
    who, why = _named("crawler", data.get("crawler_id")), _joined([data.get("cause"), data.get("reason")], ": ")
    details = [data.get("id"), happened, who, what, why]
    return str(data.get("status") or "progress"), _joined(details)


def _progress(progress: Data) -> str:
    total = f" of {progress['total']}" if "total" in progress else ""
    count = f"{progress['processed']}{total}" if "processed" in progress else None
    counts = progress.get("finalCounts") or progress.get("partialCounts") or progress.get("itemCounts")
    summary = ", ".join(f"{name}: {number}" for name, number in counts.items()) if isinstance(counts, dict) else None
    parts = (progress.get("stage"), progress.get("entityType"), count, summary, progress.get("message"))
    return _joined(parts, " ")


def _connection(data: Data) -> tuple[str, str]:
    return str(data.get("event")), _joined([_named("crawler", data.get("crawler_id")), data.get("reason")])


def _heartbeat(data: Data) -> tuple[str, str]:
    metadata = data.get("metadata")
    activity = {"activeJobs": "active", "totalProcessed": "processed"}
    counts = (
        [f"{metadata[name]} {word}" for name, word in activity.items() if name in metadata]
        if isinstance(metadata, dict)
        else []
    )
    return str(data.get("system_status")), _joined([_named("crawler", data.get("crawler_id")), ", ".join(counts)])


def _account(data: Data) -> tuple[str, str]:
    return str(data.get("event")), f"token of account {data.get('account_id')}"


def _host(data: Data) -> tuple[str, str]:
    return str(data.get("event")), str(data.get("gitlab_origin"))


def _pause(data: Data) -> tuple[str, str]:
    covered = _joined([str(data.get("scope")).replace("_", " "), data.get("target")], " ")
    return str(data.get("event")), _joined([covered, _named("by", data.get("author")), data.get("reason")])


def _budget(data: Data) -> tuple[str, str]:
    jobs = data.get("jobs_allowed")
    allowed = f"{jobs} {'job' if jobs == 1 else 'jobs'} at a time" if jobs else None
    whose = (data.get("gitlab_origin"), _named("account", data.get("account_id")), data.get("name"))
    return str(data.get("event")), _joined([*whose, allowed, _named("until", data.get("until"))])


def _lost(data: Data) -> tuple[str, str]:
    return "lost", f"{data.get('lost')} events: they arrived faster than they were read"


def _anything(data: Data) -> tuple[str, str]:
    return "", text(data)


_FORMATS: Mapping[str, Callable[[Data], tuple[str, str]]] = {
    "job": _job,
    "connection": _connection,
    "heartbeat": _heartbeat,
    "host": _host,
    "account": _account,
    "budget": _budget,
    "pause": _pause,
    "lost": _lost,
}


def _named(name: str, value: object) -> str | None:
    return None if value is None else f"{name} {value}"


def _joined(parts: "list[Any] | tuple[Any, ...]", by: str = "  ") -> str:
    return by.join(str(part) for part in parts if part)
