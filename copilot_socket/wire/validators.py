"""Documents to messages: parse, look up the type, screen, validate by schema, structure."""

from typing import Any

import orjson

from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.messages import ELEMENTS, INCOMING, ElementFault, Message
from copilot_socket.wire.schemas import Schemas, describe, pointer
from copilot_socket.wire.screening import forbidden, parse_exactly, suspicious
from copilot_socket.wire.structuring import structure

Json = dict[str, Any]


class Decoder:
    """Makes messages of documents. The schemas are compiled when it is made, none later."""

    def __init__(self) -> None:
        self._schemas = Schemas()

    def decode(self, data: bytes, value: Json | None = None) -> Message:
        """The message in *data*, of which *value* is the parsed form if that is known.

        Raises :class:`ProtocolError` with ``invalid_json``, ``unknown_type`` or ``invalid_message``.
        """
        exact = False
        if value is None:
            value, exact = _parse(data)
        type_ = _type(value)
        faults: list[ElementFault] = []
        if exact or suspicious(data):
            value = value if exact else parse_exactly(data)
            value = self._screen(type_, value, faults)
        if not self._schemas.accepts(type_, value):
            value = self._without_bad_elements(type_, value, faults)
        return Message(
            type_,
            value["timestamp"],
            value.get("id"),
            value.get("jobId"),
            structure(type_, value.get("data") or {}),
            tuple(sorted(faults, key=lambda fault: fault.index)),
        )

    def _screen(self, type_: str, value: Json, faults: list[ElementFault]) -> Json:
        """Refuse forbidden values; one in an element of a list costs only that element."""
        found = {}
        for path, complaint in forbidden(value):
            index = _element(type_, path)
            if index is None:
                raise _invalid(value, pointer(path), complaint)
            found[index] = ElementFault(index, pointer(path), complaint)
        return _strip(type_, value, found, faults)

    def _without_bad_elements(self, type_: str, value: Json, faults: list[ElementFault]) -> Json:
        """Explain what is wrong, if it is more than single elements of a list that can do without them."""
        found: dict[int, ElementFault] = {}
        if type_ in ELEMENTS:
            for error in self._schemas.errors(type_, value):
                index = _element(type_, tuple(error.absolute_path))
                if index is None:
                    found.clear()
                    break
                where, text = describe(error)
                found.setdefault(index, ElementFault(index, where, text))
        if not found:
            raise _invalid(value, *self._schemas.explain(type_, value))
        return _strip(type_, value, found, faults)


def _parse(data: bytes) -> tuple[Json, bool]:
    """The document, and whether it had to be parsed the slow and exact way."""
    try:
        value, exact = orjson.loads(data), False
    except orjson.JSONDecodeError as quick:
        try:
            value, exact = parse_exactly(data), True
        except (ValueError, RecursionError) as error:
            reason = quick if isinstance(error, RecursionError) else error
            raise ProtocolError(ErrorCode.INVALID_JSON, f"this is no JSON: {reason}"[:300]) from None
    if not isinstance(value, dict):
        raise ProtocolError(ErrorCode.INVALID_MESSAGE, "a message is an object", path="")
    return value, exact


def _type(value: Json) -> str:
    type_ = value.get("type")
    if not isinstance(type_, str):
        raise _invalid(value, "/type", "a message has a type, which is a string")
    if type_ not in INCOMING:
        text = f"there is no type {type_[:64]!r} from crawler to server; there is {', '.join(INCOMING)}"
        raise _error(ErrorCode.UNKNOWN_TYPE, value, "/type", text)
    return type_


def _element(type_: str, path: tuple[str | int, ...]) -> int | None:
    """The index of the element that *path* leads into, if its list can do without it."""
    if len(path) >= 3 and path[0] == "data" and path[1] == ELEMENTS.get(type_) and isinstance(path[2], int):
        return path[2]
    return None


def _strip(type_: str, value: Json, found: dict[int, ElementFault], faults: list[ElementFault]) -> Json:
    """*value* without the elements *found* to be bad; their indices are those of the message as it came."""
    if not found:
        return value
    name = ELEMENTS[type_]
    gone = {fault.index for fault in faults}
    elements = value["data"][name]
    original = [index for index in range(len(elements) + len(gone)) if index not in gone]
    for index, fault in found.items():
        was = original[index]
        faults.append(ElementFault(was, fault.path.replace(f"/{index}", f"/{was}", 1), fault.message))
    kept = [element for index, element in enumerate(elements) if index not in found]
    return {**value, "data": {**value["data"], name: kept}}


def _invalid(value: Json, path: str, text: str) -> ProtocolError:
    return _error(ErrorCode.INVALID_MESSAGE, value, path, text)


def _error(code: ErrorCode, value: Json, path: str, text: str) -> ProtocolError:
    """With what can be read of the message's own references."""
    ref, job_id = value.get("id"), value.get("jobId")
    if ref is None:
        ref = value.get("timestamp")
    return ProtocolError(code, text, path=path, ref=_readable(ref, 128), job_id=_readable(job_id, 255))


def _readable(value: Any, most: int) -> str | None:
    """*value* if it is a string that can be sent back."""
    if not isinstance(value, str) or len(value) > most or "\x00" in value:
        return None
    return value if value.isascii() or value.encode("utf-8", "replace").decode("utf-8") == value else None
