"""A job for people: what it is, why it waits, where it goes on, its attempts, and what went wrong."""

from collections.abc import Iterator, Mapping
from typing import Any

from copilot_socket.cli.style import BOLD, Screen, Styled, escaped
from copilot_socket.cli.tables import Column, Kind, block, details, table, text, when
from copilot_socket.cli.times import between

_ATTEMPTS = (
    Column("try", Kind.NUMBER),
    Column("crawler", value=lambda row: (row["crawler_key"] or "").removeprefix("hello:") or None),
    Column("began", Kind.TIME, lambda row: row["started_at"] or row["assigned_at"]),
    Column("took", Kind.NUMBER, lambda row: between(row["started_at"] or row["assigned_at"], row["ended_at"])),
    Column("ended", Kind.STATE, lambda row: row["outcome"]),
    Column("cause"),
    Column("reason"),
)
_APART = frozenset(
    {
        "id", "status", "command", "full_path", "branch", "attempts", "resume_state", "progress", "assignment",
        "history", "history_total", "errors", "errors_total", "truncated", "why",
    }
)  # fmt: skip
"""Members that are shown in a way of their own. ``attempts`` is the same as ``failures``."""
_INDENT = "  "


def lines(job: Any, on: Screen) -> list[str]:
    """All of *job*."""
    return list(_lines(job, on))


def _lines(job: Mapping[str, Any], on: Screen) -> Iterator[str]:
    what = " ".join(text(job[name]) for name in ("command", "full_path", "branch") if job[name])
    yield Styled(f"{on.paint(text(job['id']), BOLD)}  {on.state(text(job['status']))}  {what}")
    if job.get("why"):
        yield Styled(f"why: {text(job['why'])}")
    yield from details({name: value for name, value in job.items() if name not in _APART}, on)
    for name, title in (("resume_state", "cursor"), ("progress", "progress")):
        if job[name]:
            yield f"{title}:"
            yield from details(job[name], on, _INDENT)
    if job["truncated"]:
        yield escaped(f"too large to be shown: {', '.join(job['truncated'])}")
    yield from _attempts(job, on)
    yield from _errors(job, on)


def _attempts(job: Mapping[str, Any], on: Screen) -> Iterator[str]:
    rows = list(job["history"])
    current = job["assignment"]
    if current is not None and current["completed_at"] is None and all(row["try"] != current["try"] for row in rows):
        rows.append({**current, "outcome": current["status"], "ended_at": None, "cause": None, "reason": None})
    if rows:
        shown = len(job["history"])
        more = f" (the latest {shown} of {job['history_total']:,})" if job["history_total"] > shown else ""
        yield f"attempts{more}:"
        for line in table(_ATTEMPTS, rows, on if on.width is None else on._replace(width=on.width - len(_INDENT))):
            yield Styled(_INDENT + line)


def _errors(job: Mapping[str, Any], on: Screen) -> Iterator[str]:
    if not job["errors"]:
        return
    shown = len(job["errors"])
    more = f" (the latest {shown} of {job['errors_total']:,})" if job["errors_total"] > shown else ""
    yield f"errors{more}:"
    for error in job["errors"]:
        kind = f"  {on.paint(text(error['error_type']), '1;31')}" if error["error_type"] else ""
        cause = f"  {text(error['cause'])}" if error["cause"] else ""
        group = f"  group {text(error['fingerprint'])}" if error["fingerprint"] else ""
        yield Styled(f"{_INDENT}{when(error['timestamp'], on)}{kind}{cause}{group}")
        yield from block(error["error_message"], _INDENT * 2)
        if error["stack_trace"]:
            yield from block(error["stack_trace"], _INDENT * 3)
        if error["context"]:
            yield from details(error["context"], on, _INDENT * 2)
        if error["truncated"]:
            yield escaped(f"{_INDENT * 2}shortened or left out: {', '.join(error['truncated'])}")
