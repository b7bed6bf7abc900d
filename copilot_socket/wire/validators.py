"""Documents to messages: parse, look up the type, screen, check bounds, validate against the schema."""

from typing import Any

import orjson

from copilot_socket.core.messages import Json, Message
from copilot_socket.wire.inspection import Inspection, Steps
from copilot_socket.wire.items import PARSED_WHOLE
from copilot_socket.wire.kinds import Kind, kinds
from copilot_socket.wire.screening import SHALLOW, parsed_too_deep, suspicious

MIN_ELEMENTS = 20_000
"""Good elements of a list that are accepted whatever the size limit."""
_PER_ELEMENT = 100
"""Bytes of the size limit for each element beyond these."""
_WITHIN_BOUNDS = 1 << 14
"""Bytes of a message up to which no field can exceed its bound: re-encoded JSON takes at most 4 times the space."""


class Decoder:
    """Decodes documents of at most *max_size* bytes to messages. Construction compiles the schemas."""

    def __init__(self, max_size: int) -> None:
        self._kinds = kinds()
        self._most_elements = max(MIN_ELEMENTS, max_size // _PER_ELEMENT)

    def quick(self, data: bytes, value: Json | None = None, screened: bool = False) -> Message | None:
        """The message in *data*, if it is small and valid; None if it must be decoded in :meth:`steps`.

        *value* is the parsed form of *data*, if already parsed; *screened*: it was screened and is not suspicious.
        """
        if value is None:
            value = _parsed(data)
            if value is None:
                return None
        type_: Any = value.get("type")
        kind = self._kinds.get(type_) if isinstance(type_, str) else None
        if kind is None or not (screened or not suspicious(data)):
            return None
        if len(data) > SHALLOW and parsed_too_deep(data, value):
            return None
        if not kind.accepts(value) or (len(data) > _WITHIN_BOUNDS and not _fits(kind, value)):
            return None
        if kind.elements is not None and any(map(kind.elements.has_long_path, value["data"][kind.elements.name])):
            return None
        return Message(type_, value.get("jobId"), value, kind.structure, (), len(data))

    def steps(self, data: bytes) -> Steps[Message]:
        """Decode the message in *data* step by step, whatever its size and faults.

        Each step takes a few milliseconds at most. Raises :class:`ProtocolError` with ``invalid_json``,
        ``unknown_type`` or ``invalid_message``.
        """
        return Inspection(self._kinds, data, self._most_elements).message()


def _parsed(data: bytes) -> Json | None:
    if len(data) > PARSED_WHOLE:
        return None
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _fits(kind: Kind, value: Json) -> bool:
    """Whether all fields of *value* are within their bounds in bytes."""
    data = value.get("data") or {}
    return all(data.get(name) is None or len(orjson.dumps(data[name])) <= size for name, size in kind.sized)
