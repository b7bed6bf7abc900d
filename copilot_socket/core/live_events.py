"""Live events: what a row of ``events`` holds, and what streams send of it (docs/http.md, "Live events").

A row is a JSON array of changes, each an array that begins with its kind. The frequent ones are written by SQL, from
the rows that a statement changes, and hold columns; they become events here, when they are read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import attrs
import orjson

from copilot_socket.core.identity import crawler_name
from copilot_socket.core.jobs import Event, Status
from copilot_socket.core.reports import job_of

Data = dict[str, Any]

TYPES = ("account", "budget", "connection", "heartbeat", "host", "job", "pause")
"""The types of events that are stored."""


@attrs.frozen
class LiveEvent:
    """One event. ``data`` uses the names of database columns; fields that do not apply are omitted."""

    type: str
    data: Data


class Lost(Exception):
    """Changes were not stored one by one: whoever follows them must look at everything again."""


def encoded(event: LiveEvent) -> str:
    """*event* as a change."""
    return orjson.dumps(["event", event.type, event.data]).decode()


LOST = '["lost"]'
"""A change that stands for others."""


def joined(changes: Iterable[str]) -> str:
    """*changes* as a row."""
    return f"[{','.join(changes)}]"


def decoded(changes: str) -> Iterator[LiveEvent]:
    """The events of a row, in order, made one by one. Raises :class:`Lost`, perhaps behind some events."""
    try:
        for kind, *fields in orjson.loads(changes):
            yield from _KINDS[kind](*fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # not written by a node
        raise Lost(f"row can't be read: {error!r}") from error


def job(job_id: str, event: str, **fields: Any) -> LiveEvent:
    """An event of a job."""
    return LiveEvent("job", {"id": job_id, "event": event, **given(fields)})


def given(fields: Mapping[str, Any]) -> Data:
    """Those of *fields* that apply."""
    return {name: value for name, value in fields.items() if value is not None}


def _event(type_: str, data: Data) -> Iterator[LiveEvent]:
    yield LiveEvent(type_, data)


def _report(
    assignment: str,
    crawler: str,
    account: str,
    user: str | None,
    began: bool,
    completed: bool,
    progress: str | None,
) -> Iterator[LiveEvent]:
    """A crawler's reports of a job that were stored together. *progress* is JSON."""
    job_id = job_of(assignment)
    whose: Data = {
        "crawler_job_id": assignment,
        "crawler_id": crawler_name(crawler),
        "account_id": account,
        "user_id": user,
    }
    if began:
        yield job(job_id, Event.STARTED, status=Status.RUNNING, **whose)
    if progress is not None:
        yield job(job_id, Event.PROGRESSED, **whose, progress=orjson.loads(progress))
    if completed:
        ended = {"outcome": "completed", "cause": "completed"}
        yield job(job_id, Event.COMPLETED, status=Status.COMPLETED, **whose, **ended)


def _claim(
    assignment: str, crawler: str, account: str, user: str | None, command: str, full_path: str | None
) -> Iterator[LiveEvent]:
    yield job(
        job_of(assignment),
        Event.CLAIMED,
        status=Status.ASSIGNED,
        crawler_job_id=assignment,
        crawler_id=crawler_name(crawler),
        account_id=account,
        user_id=user,
        command=command,
        full_path=full_path,
    )


def _created(
    job_id: str, status: str, account: str, user: str | None, command: str, full_path: str | None
) -> Iterator[LiveEvent]:
    fields = {"account_id": account, "user_id": user, "command": command, "full_path": full_path}
    yield job(job_id, "created", status=status, **fields)


def _deleted(job_id: str, account: str, user: str | None) -> Iterator[LiveEvent]:
    yield job(job_id, "deleted", account_id=account, user_id=user)


def _lost() -> Iterator[LiveEvent]:
    raise Lost


_KINDS: Mapping[str, Callable[..., Iterator[LiveEvent]]] = {
    "event": _event,
    "report": _report,
    "claim": _claim,
    "created": _created,
    "deleted": _deleted,
    "lost": _lost,
}
"""Kind of a change → its events."""


class Position(NamedTuple):
    """A place in the sequence of events: behind *part* events of the row *number*, and all rows before it.

    A tuple, as positions are compared for each event and stream.
    """

    number: int
    part: int = 0

    def __str__(self) -> str:
        return f"{self.number}.{self.part}"

    @classmethod
    def parse(cls, text: str) -> "Position | None":
        """The position that *text* stands for; None if it is none."""
        number, _, part = text.partition(".")
        return cls(int(number), int(part)) if _is_number(number) and _is_number(part) else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
