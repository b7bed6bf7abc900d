"""What ``copilot-socket top`` shows, and what its keys do. Pure: a model and a size in, lines out."""

import copy
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import attrs

from copilot_socket.cli.style import BOLD, DIM, Screen, Styled, cut, escaped, width_of
from copilot_socket.cli.tables import Column, Kind, shared, table, text
from copilot_socket.cli.times import duration_text
from copilot_socket.cli.top_model import HELD, TERMINAL, Job, Model

_BACKSPACE = ("\x7f", "\b")
_KEYS = "s sort  f filter  p pause  q quit"

_SORTS: Mapping[str, Callable[[Job], Any]] = {
    "longest": lambda job: (job.since is None, job.since),
    "progress": lambda job: -1.0 if job.done is None else -job.done,
    "command": lambda job: (job.command or "", job.full_path or ""),
    "path": lambda job: job.full_path or "",
    "account": lambda job: job.account_id or "",
    "crawler": lambda job: job.crawler_id or "",
}
"""The orders of jobs, by name; the first one is the default."""


@attrs.define
class View:
    """What is shown of a model: the order, the filter, and whether it stands still."""

    model: Model
    sort: str = "longest"
    filter: str = ""
    typed: str | None = None
    """The filter as it is being typed; None if nobody does."""
    status: str = ""
    """What went wrong with the connection."""
    _still: Model | None = None
    _since: datetime | None = None

    @property
    def paused(self) -> bool:
        """Whether the view stands still."""
        return self._still is not None

    def press(self, key: str, now: datetime) -> bool:
        """Act on a key; False if the command is to end."""
        if self.typed is not None:
            self._type(key)
        elif key == "q":
            return False
        elif key == "s":
            names = list(_SORTS)
            self.sort = names[(names.index(self.sort) + 1) % len(names)]
        elif key == "f":
            self.typed = self.filter
        elif key == "p":
            self._still, self._since = (None, None) if self.paused else (copy.deepcopy(self.model), now)
        return True

    def _type(self, key: str) -> None:
        assert self.typed is not None
        if key in ("\r", "\n"):
            self.filter, self.typed = self.typed.strip(), None
        elif key == "\x1b":
            self.typed = None
        elif key in _BACKSPACE:
            self.typed = self.typed[:-1]
        elif key.isprintable():
            self.typed += key

    def lines(self, on: Screen, address: str) -> list[Styled]:
        """As many lines as the screen has, each of which fits."""
        width, height = on.width or 0, on.height or 0
        if self._since is not None:
            on = on._replace(now=self._since)
        model = self._still or self.model
        head = [self._title(on, address, width), *_summary(model, on, width)]
        lines = [*head, *self._body(model, on, height - len(head) - 1)][: height - 1]
        return [*lines, *[Styled("")] * (height - 1 - len(lines)), self._footer(on, width)]

    def _title(self, on: Screen, address: str, width: int) -> Styled:
        state = "paused" if self.paused else self.status or "live"
        title = f"copilot-socket top  {on.now:%H:%M:%S}Z  {text(address)}  "
        colour = "32" if state == "live" else "33"
        return Styled(on.paint(cut(title, width), BOLD) + on.paint(cut(text(state), width - width_of(title)), colour))

    def _footer(self, on: Screen, width: int) -> Styled:
        if self.typed is not None:
            return escaped(cut(f"filter (a text, or NAME=VALUE): {self.typed}_", width))
        filtered = f"  filter: {text(self.filter)}" if self.filter else ""
        return Styled(on.paint(cut(f"{_KEYS}  order: {self.sort}{filtered}", width), DIM))

    def _body(self, model: Model, on: Screen, room: int) -> list[Styled]:
        """Crawlers, jobs and ends. Where there is no room for all, each gets a share of it."""
        crawlers = sorted(model.crawlers.values(), key=lambda crawler: crawler.id)
        parts: list[tuple[str, tuple[Column, ...], list[Any]]] = [
            ("crawlers", _CRAWLERS, [(each, model.load(each.id)) for each in crawlers if self._keeps(each)]),
            (
                "jobs",
                _JOBS,
                [each for each in sorted(model.jobs.values(), key=_SORTS[self.sort]) if self._keeps(each)],
            ),
            ("ended", _ENDED, [each for each in model.ended if self._keeps(each)]),
        ]
        that = " that meets the filter" if self.typed or self.filter else ""
        # A blank line and the headings of each.
        sizes = shared([len(rows) for _, _, rows in parts], max(0, room - 2 * len(parts)))
        return [
            line
            for (title, columns, rows), most in zip(parts, sizes, strict=True)
            for line in _part(title, columns, rows, most, on, that)
        ]

    def _keeps(self, row: Any) -> bool:
        values = attrs.asdict(row)
        wanted = self.typed if self.typed is not None else self.filter
        name, equals, value = wanted.strip().partition("=")
        if equals and name in values:
            return str(values[name] or "") == value
        return wanted.strip().lower() in " ".join(str(each) for each in values.values() if each).lower()


def _part(title: str, columns: tuple[Column, ...], rows: list[Any], most: int, on: Screen, that: str) -> list[Styled]:
    if not rows:
        return [Styled(""), Styled(on.paint(cut(f"{title}: none{that}", on.width or 0), DIM))]
    if most <= 0:
        return []
    lines = table(columns, rows[:most], on)[: 1 + most]  # without the names of columns that were left out
    if len(rows) > most:
        more = f"… and {len(rows) - most + 1:,} more {title}"
        lines[-1] = Styled(on.paint(cut(more, on.width or 0), DIM))
    return [Styled(""), *lines]


def _summary(model: Model, on: Screen, width: int) -> list[Styled]:
    counts = [(state, number) for state, number in model.counts.items() if number or state in ("queued", *HELD)]
    jobs = "jobs   " + "  ".join(f"{text(state)} {number:,}" for state, number in counts)
    if width_of(jobs) <= width:
        jobs = "jobs   " + "  ".join(f"{on.state(text(state))} {number:,}" for state, number in counts)
    queue = model.queue
    names = ("ready", "held_back", "scheduled", "unroutable")
    waiting = [f"{name.replace('_', ' ')} {queue[name]:,}" for name in names if name in queue]
    if "oldest_seconds" in queue:
        waiting.append(f"oldest {duration_text(queue['oldest_seconds'])}")
    ends = "  ".join(f"{state} {model.done(state, on.now):,}" for state in TERMINAL)
    return [
        Styled(jobs if "\x1b" in jobs else cut(jobs, width)),
        escaped(cut(f"queue  {'  '.join(waiting) or '-'}", width)),
        escaped(cut(f"last minute  {ends}", width)),
    ]


def _since(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat()


def _progress(job: Job) -> str | None:
    share = "" if job.done is None else f"{job.done:.0%} "
    progress = job.progress
    count = f"{progress['processed']:,}" if isinstance(progress.get("processed"), int) else ""
    parts = (progress.get("stage"), progress.get("entityType"), count)
    return (share + " ".join(str(part) for part in parts if part)).strip() or None


_CRAWLERS = (
    Column("crawler", Kind.NAME, lambda row: row[0].id),
    Column("mode", Kind.STATE, lambda row: row[0].mode),
    Column("jobs", Kind.NUMBER, lambda row: f"{row[1]}/{row[0].max_jobs or '?'}"),
    Column("status", Kind.STATE, lambda row: row[0].status),
    Column("heard", Kind.TIME, lambda row: _since(row[0].heard)),
)
_JOBS = (
    Column("job", Kind.NAME, lambda job: job.id),
    Column("status", Kind.STATE, lambda job: job.status),
    Column("command", value=lambda job: job.command),
    Column("path", Kind.PATH, lambda job: job.full_path),
    Column("since", Kind.TIME, lambda job: _since(job.since)),
    Column("progress", value=_progress),
    Column("crawler", value=lambda job: job.crawler_id),
    Column("account", value=lambda job: job.account_id),
)
_ENDED = (
    Column("ended", Kind.NAME, lambda end: end.id),
    Column("status", Kind.STATE, lambda end: end.status),
    Column("when", Kind.TIME, lambda end: _since(end.at)),
    Column("what", value=lambda end: end.what),
    Column("cause", value=lambda end: end.cause),
    Column("reason", value=lambda end: end.reason),
)
