"""Documents to messages: parse, look up the type, screen, validate by schema, structure."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import orjson

from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.messages import ELEMENTS, INCOMING, PATHS, Data, ElementFault, Message
from copilot_socket.core.records import record
from copilot_socket.wire.schemas import Schemas, pointer
from copilot_socket.wire.screening import MAX_DEPTH, SHALLOW, forbidden, parse_exactly, suspicious, too_deep
from copilot_socket.wire.structuring import STRUCTURES

Json = dict[str, Any]
MAX_EXPLAINED = 100
"""Bad elements of one message of which it is told what is wrong with them; of the others only that they are bad."""
MAX_PATH = 1024
"""Bytes of a path in UTF-8."""
_TOO_DEEP = f"nested too deeply: at most {MAX_DEPTH} levels are allowed"


@record
class _Kind:
    """What is to be known of one type of message; ``has_elements``: a bad element of its list costs only itself."""

    accepts: Callable[[Any], bool]
    structure: Callable[[Json], Data]
    has_elements: bool


class Decoder:
    """Makes messages of documents. The schemas are compiled when it is made, none later."""

    def __init__(self) -> None:
        self._schemas = Schemas()
        self._kinds = {
            type_: _Kind(accepts, STRUCTURES[type_], type_ in ELEMENTS)
            for type_, accepts in self._schemas.accepts.items()
        }

    def decode(self, data: bytes, value: Json | None = None, screened: bool = False) -> Message:
        """The message in *data*, of which *value* is the parsed form if that is known.

        *screened*: it is known too that nothing in it is suspicious. Raises :class:`ProtocolError` with
        ``invalid_json``, ``unknown_type`` or ``invalid_message``.
        """
        exact = False
        if value is None:
            value, exact = _parse(data)
        type_: Any = value.get("type")
        kind = self._kinds.get(type_) if isinstance(type_, str) else None
        if kind is None:
            raise _wrong_type(value, type_)
        if len(data) > SHALLOW and too_deep(data, value):
            raise _invalid(value, "", _TOO_DEEP)
        faults: dict[int, ElementFault] | None = None
        if exact or (not screened and suspicious(data)):
            value = value if exact else _parse_exactly(data)
            faults = _screen(type_, value)
        if kind.has_elements:
            faults = {**_long_paths(type_, value), **(faults or {})}
        if faults or not kind.accepts(value):
            faults = faults or {}
            value = self._sift(type_, value, faults)
            in_order = tuple(faults[index] for index in sorted(faults))
            return Message(type_, value.get("jobId"), value, kind.structure, in_order, len(data))
        return Message(type_, value.get("jobId"), value, kind.structure, (), len(data))

    def _sift(self, type_: str, value: Json, faults: dict[int, ElementFault]) -> Json:
        """*value* without bad elements, which are added to *faults*; refuse it if more than they is wrong."""
        elements = _elements(type_, value)
        rest = value if elements is None else _with_elements(type_, value, [])
        if elements is None or not self._kinds[type_].accepts(rest):
            raise _invalid(value, *explanations().explain(type_, rest))
        for index, element in enumerate(elements):
            if index not in faults and not self._schemas.accepts_element(type_, element):
                faults[index] = self._fault(type_, index, element, explain=len(faults) < MAX_EXPLAINED)
        return _with_elements(type_, value, [each for index, each in enumerate(elements) if index not in faults])

    def _fault(self, type_: str, index: int, element: Any, *, explain: bool) -> ElementFault:
        # An explanation costs a hundred times what the decision does, and after so many alike no one reads it.
        inside, text = (
            explanations().explain_element(type_, element) if explain else ("", "not valid, like others before")
        )
        return ElementFault(index, f"/data/{ELEMENTS[type_]}/{index}{inside}", text)


def explanations() -> ModuleType:
    """What explains faults. It takes a tenth of a node's start to import, so that is left until it runs."""
    from copilot_socket.wire import explaining  # noqa: PLC0415 - see above

    return explaining


def _screen(type_: str, value: Json) -> dict[int, ElementFault]:
    """Refuse forbidden values; one in an element of a list costs only that element."""
    faults: dict[int, ElementFault] = {}
    for path, complaint in forbidden(value):
        index = _element(type_, path)
        if index is None:
            raise _invalid(value, pointer(path), complaint)
        if index not in faults:
            faults[index] = ElementFault(index, pointer(path), complaint)
    return faults


def _long_paths(type_: str, value: Json) -> dict[int, ElementFault]:
    """Elements with paths that the database has no room for: the schema counts characters, an index counts bytes."""
    name = PATHS[type_]
    faults: dict[int, ElementFault] = {}
    for index, element in enumerate(_elements(type_, value) or ()):
        path = element.get(name) if isinstance(element, dict) else None
        if isinstance(path, str) and len(path) > MAX_PATH // 4 and len(path.encode("utf-8", "replace")) > MAX_PATH:
            where = f"/data/{ELEMENTS[type_]}/{index}/{name}"
            faults[index] = ElementFault(index, where, f"a path may have {MAX_PATH} bytes")
    return faults


def _parse(data: bytes) -> tuple[Json, bool]:
    """The document, and whether it had to be parsed the slow and exact way."""
    try:
        value, exact = orjson.loads(data), False
    except orjson.JSONDecodeError:
        value, exact = _parse_exactly(data), True
    if not isinstance(value, dict):
        raise ProtocolError(ErrorCode.INVALID_MESSAGE, "a message is an object", path="")
    return value, exact


def _parse_exactly(data: bytes) -> Any:
    try:
        return parse_exactly(data)
    except RecursionError:
        raise ProtocolError(ErrorCode.INVALID_MESSAGE, _TOO_DEEP, path="") from None
    except ValueError as error:
        raise ProtocolError(ErrorCode.INVALID_JSON, f"this is no JSON: {error}"[:300]) from None


def _wrong_type(value: Json, type_: Any) -> ProtocolError:
    if not isinstance(type_, str):
        return _invalid(value, "/type", "a message has a type, which is a string")
    text = f"there is no type {type_[:64]!r} from crawler to server; there is {', '.join(INCOMING)}"
    return _error(ErrorCode.UNKNOWN_TYPE, value, "/type", text)


def _element(type_: str, path: tuple[str | int, ...]) -> int | None:
    """The index of the element that *path* leads into, if its list can do without it."""
    if len(path) >= 3 and path[0] == "data" and path[1] == ELEMENTS.get(type_) and isinstance(path[2], int):
        return path[2]
    return None


def _elements(type_: str, value: Json) -> list[Any] | None:
    """That list, if it is there."""
    data = value.get("data")
    elements = data.get(ELEMENTS.get(type_)) if isinstance(data, dict) else None
    return elements if isinstance(elements, list) else None


def _with_elements(type_: str, value: Json, elements: list[Any]) -> Json:
    return {**value, "data": {**value["data"], ELEMENTS[type_]: elements}}


def _invalid(value: Json, path: str, text: str) -> ProtocolError:
    return _error(ErrorCode.INVALID_MESSAGE, value, path, text)


def _error(code: ErrorCode, value: Json, path: str, text: str) -> ProtocolError:
    """With what can be read of the message's own references."""
    ref = _readable(value.get("id"), 128)
    if ref is None:
        ref = _readable(value.get("timestamp"), 128)
    return ProtocolError(code, text, path=path, ref=ref, job_id=_readable(value.get("jobId"), 255))


def _readable(value: Any, most: int) -> str | None:
    """*value* if it is a string that can be sent back."""
    if not isinstance(value, str) or len(value) > most or "\x00" in value:
        return None
    return value if value.isascii() or value.encode("utf-8", "replace").decode("utf-8") == value else None
