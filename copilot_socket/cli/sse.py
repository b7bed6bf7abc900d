"""Reading Server-Sent Events (HTML Standard, section 9.2)."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import attrs


@attrs.frozen
class Event:
    """One event of a stream whose data is JSON."""

    id: str | None
    type: str
    data: dict[str, Any]


def events(lines: Iterable[bytes]) -> Iterator[Event]:
    """The events in *lines*. Raises ``ValueError`` for data that is not JSON, and whatever reading raises."""
    id_: str | None = None
    type_ = "message"
    data: list[str] = []
    for raw in lines:
        name, _, value = raw.decode("utf-8", "replace").rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if raw in (b"\n", b"\r\n"):
            if data:
                yield Event(id_, type_, json.loads("\n".join(data)))
            id_, type_, data = None, "message", []
        elif name == "data":
            data.append(value)
        elif name == "event":
            type_ = value
        elif name == "id":
            id_ = value
