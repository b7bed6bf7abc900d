"""Decoding in steps: for messages that are large or invalid.

Such a message is cut into its fields, and each field is parsed, screened and checked against its bound separately.
Fields that the server does not keep are skipped, and an object over its bound is not parsed. So every step is short,
and memory is bounded by what is kept, whatever the message contains.
"""

from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any, NoReturn, TypeVar

import orjson

from copilot_socket.core.errors import ErrorCode, ProtocolError
from copilot_socket.core.messages import INCOMING, Discovery, Fault, JobsDiscovered, Json, Message
from copilot_socket.core.reports import Found
from copilot_socket.wire.beginning import beginning
from copilot_socket.wire.cutting import NotJson, Part, elements, fields
from copilot_socket.wire.errors import refusal
from copilot_socket.wire.explaining import too_long
from copilot_socket.wire.items import PARSED_WHOLE
from copilot_socket.wire.kinds import MAX_PATH, Elements, Kind
from copilot_socket.wire.schemas import Bound, pointer
from copilot_socket.wire.screening import MAX_DEPTH, forbidden, least_size, parse, suspicious, too_deep

T = TypeVar("T")
Steps = Generator[None, None, T]
"""A computation in steps: it yields where other work may run, and returns its result."""

MAX_FAULTS = 100
"""Faults of one message that are reported one by one."""
MAX_ELEMENT = 1 << 16
"""Bytes of one element of a list whose bad elements are left out."""
MAX_SPREAD = 4
"""Factor by which an object may exceed its bound as it was sent, with spaces and escapes."""
_PARTS_PER_STEP = 64
"""Parts processed in one step."""
_BYTES_PER_STEP = 1 << 15
"""Bytes of elements after which a step ends."""
_MANY_ELEMENTS = (
    "send them in several messages, or raise SOCKET_MAX_MESSAGE_SIZE, which allows one for each 100 bytes"
)
_LIST, _OBJECT = ord("["), ord("{")
_DATA_LEVEL = 2
"""The nesting level of ``data``; the message itself is level 1."""
_ENVELOPE = ("type", "timestamp", "id", "jobId", "data")


class Inspection:
    """Decodes the message *text*. At most *most_elements* good elements of a list are accepted."""

    def __init__(self, kinds: Mapping[str, Kind], text: bytes, most_elements: int) -> None:
        self._kinds = kinds
        self._text = text
        self._most_elements = most_elements
        self._suspect = suspicious(text)
        self._value: Json = {}
        """The kept parts of the message."""
        self._list: Part | None = None
        """The list whose bad elements are left out."""
        self._forbidden: tuple[str, str] | None = None
        """JSON pointer and text of the first forbidden value."""
        self._faults: list[Fault] = []

    def message(self) -> Steps[Message]:
        """Decode it. Raises :class:`ProtocolError`: ``invalid_json``, ``unknown_type`` or ``invalid_message``."""
        try:
            return (yield from self._message())
        except NotJson as error:
            text = f"Message is not valid JSON: {error}"[:300]
            raise refusal(beginning(self._text), None, text, ErrorCode.INVALID_JSON) from None

    def _message(self) -> Steps[Message]:
        text, value = self._text, self._value
        if len(text) <= PARSED_WHOLE and not too_deep(text):
            parse(text, self._suspect)  # a small message must be JSON in its skipped parts too
        begin, end = len(text) - len(text.lstrip()), len(text.rstrip())
        if begin == len(text) or text[begin] != _OBJECT:
            parse(text, self._suspect)
            raise ProtocolError(ErrorCode.INVALID_MESSAGE, "Message must be a JSON object", path="")
        found = yield from self._parts(begin, end, _ENVELOPE)
        data = found.pop("data", None)
        for name, part in found.items():
            value[name] = self._scalar(part, name)
        kind = self._kind()
        if data is not None:
            value["data"] = yield from self._data(kind, data)
        if self._forbidden is not None:
            self._refuse(*self._forbidden)
        if not kind.schema.accepts(value):
            self._refuse(*kind.schema.explain(value))
        structure = kind.structure
        if kind.elements is not None and self._list is not None:
            structure = yield from self._with_elements(kind.elements, self._list)
        return Message(value["type"], value.get("jobId"), value, structure, tuple(self._faults), len(text))

    def _kind(self) -> Kind:
        type_ = self._value.get("type")
        if not isinstance(type_, str):
            self._refuse("/type", "type is required and must be a string")
        kind = self._kinds.get(type_)
        if kind is None:
            text = f"Unknown message type {type_[:64]!r}; known types: {', '.join(INCOMING)}"
            raise refusal(self._value, "/type", text, ErrorCode.UNKNOWN_TYPE)
        return kind

    # -- fields

    def _parts(self, begin: int, end: int, names: "Mapping[str, Any] | tuple[str, ...]") -> Steps[dict[str, Part]]:
        """The fields in *names* of the object at *begin*; of duplicate names the last one."""
        found: dict[str, Part] = {}
        count = 0
        for part in fields(self._text, begin, end):
            count += 1
            if part is None or not count % _PARTS_PER_STEP:
                yield
            if part is None:
                continue
            written = part[0]
            name = parse(written, True)[0] if b"\\" in written else written[1:-1].decode("utf-8", "replace")
            if name in names:
                found[name] = part
        return found

    def _data(self, kind: Kind, part: Part) -> Steps[Any]:
        _, begin, end, _ = part
        if self._text[begin] != _OBJECT:
            return self._scalar(part, "data")
        data: Json = {}
        for name, field in (yield from self._parts(begin, end, kind.bounds)).items():
            bound = kind.bounds[name]
            if kind.elements is not None and name == kind.elements.name and self._text[field[1]] == _LIST:
                self._list, data[name] = field, []
            elif bound is None or (what := _TYPES.get(self._text[field[1]], "scalar")) not in bound.types:
                data[name] = self._scalar(field, f"data/{name}")
            elif what == "array" and bound.size is None:
                data[name] = yield from self._strings(kind, name, field, bound)
            else:
                data[name] = self._object(kind, name, field, bound)
            yield
        return data

    def _scalar(self, part: Part, where: str) -> Any:
        """A scalar; an empty object or list in the place of one, which the schema then rejects."""
        _, begin, end, _ = part
        stand_in = _STAND_INS.get(self._text[begin])
        return self._parsed(begin, end, f"/{where}") if stand_in is None else stand_in()

    def _parsed(self, begin: int, end: int, where: str) -> Any:
        value, suspect = parse(self._text[begin:end], self._suspect)
        if suspect and self._forbidden is None:
            for path, complaint in forbidden(value):
                self._forbidden = pointer((*where.split("/")[1:], *path)), complaint
                break
        return value

    def _object(self, kind: Kind, name: str, part: Part, bound: Bound) -> Any:
        """The value of a field with a bound in bytes, such as a free object."""
        _, begin, end, levels = part
        assert bound.size is not None
        size = end - begin
        if _DATA_LEVEL + levels > MAX_DEPTH:
            return self._over_bound(kind, name, bound, too_nested(_DATA_LEVEL + levels))
        if bound.size < size <= MAX_SPREAD * bound.size:
            size = least_size(self._text[begin:end])
        if size <= bound.size:
            value = self._parsed(begin, end, f"/data/{name}")
            size = len(orjson.dumps(value))
        if size > bound.size:
            return self._over_bound(kind, name, bound, too_big(size, bound.size))
        if bound.items is not None and len(value) > bound.items:
            return self._over_bound(kind, name, bound, too_long(len(value), bound.items))
        return value

    def _strings(self, kind: Kind, name: str, part: Part, bound: Bound) -> Steps[Any]:
        """A list of scalars; a list without a bound is not kept."""
        values: list[Any] = []
        if bound.items is None:
            return values
        count = 0
        for element in elements(self._text, part[1], part[2]):
            if element is None or not count % _PARTS_PER_STEP:
                yield
            if element is not None:
                count += 1
                if count <= bound.items:
                    values.append(self._scalar(element, f"data/{name}/{count - 1}"))
        return values if count <= bound.items else self._over_bound(kind, name, bound, too_long(count, bound.items))

    def _over_bound(self, kind: Kind, name: str, bound: Bound, text: str) -> Any:
        """Handle a field over its bound: a report that ends an attempt is stored without it, others are refused."""
        if not kind.ends:
            self._refuse(f"/data/{name}", text)
        self._faults.append(Fault(f"/data/{name}", f"{text}; the report is stored without it"))
        return {} if bound.required else None

    # -- elements

    def _with_elements(self, kind: Elements, part: Part) -> Steps[Callable[[Json], Any]]:
        """The function that builds the data, with the good elements. Reports the first ``MAX_FAULTS`` bad ones."""
        where, read, most = f"/data/{kind.name}", kind.reader(self._value["data"]), self._most_elements
        good: list[Found] = []
        count = bad = parsed = 0
        for element in elements(self._text, part[1], part[2]):
            if element is None or not count % _PARTS_PER_STEP or parsed > _BYTES_PER_STEP:
                yield
                parsed = 0
            if element is None:
                continue
            count += 1
            parsed += element[2] - element[1]
            if len(good) > most:
                continue
            found = self._element(kind, element, read, explain=bad < MAX_FAULTS)
            if isinstance(found, Found):
                good.append(found)
                continue
            bad += 1
            if found is not None:
                inside, text = found
                self._faults.append(Fault(f"{where}/{count - 1}{inside}", text))
        if len(good) > most:
            self._refuse(where, f"{too_long(count, most)}; {_MANY_ELEMENTS}")
        if bad > MAX_FAULTS:
            text = f"{bad} of {count} elements are invalid and were left out; the first {MAX_FAULTS} are listed"
            self._faults.append(Fault(where, text))
        return partial(_DATA_OF[self._value["type"]], tuple(good))

    def _element(
        self, kind: Elements, part: Part, read: Callable[[Json], Found], *, explain: bool
    ) -> "Found | tuple[str, str] | None":
        """What an element reports as found; for a bad one, JSON pointer in it and text, or None without *explain*."""
        _, begin, end, levels = part
        if self._text[begin] == _OBJECT and end - begin <= MAX_ELEMENT and _DATA_LEVEL + 1 + levels <= MAX_DEPTH:
            element, suspect = parse(self._text[begin:end], self._suspect)
            wrong = next(forbidden(element), None) if suspect else None
            if wrong is None and kind.has_long_path(element):
                wrong = (kind.path,), f"too long: a path may have at most {MAX_PATH} bytes"
            if wrong is None and kind.schema.accepts(element):
                return read(element)
            if not explain:
                return None
            return kind.schema.explain(element) if wrong is None else (pointer(wrong[0]), wrong[1])
        if not explain:
            return None
        if end - begin > MAX_ELEMENT:
            return "", too_big(end - begin, MAX_ELEMENT)
        if _DATA_LEVEL + 1 + levels > MAX_DEPTH:
            return "", too_nested(_DATA_LEVEL + 1 + levels)
        stand_in = _STAND_INS.get(self._text[begin])
        return kind.schema.explain(parse(self._text[begin:end], self._suspect)[0] if stand_in is None else stand_in())

    def _refuse(self, path: str, text: str) -> NoReturn:
        raise refusal(self._value, path, text)


_TYPES = {_LIST: "array", _OBJECT: "object"}
_STAND_INS: dict[int, Callable[[], Any]] = {_LIST: list, _OBJECT: dict}
_DATA_OF: dict[str, Callable[[tuple[Found, ...], Json], Any]] = {
    "jobs_discovered": lambda found, data: JobsDiscovered(found, data.get("discovery_summary")),
    "discovery": lambda found, data: Discovery(data["entityType"], found),
}


def too_big(size: int, limit: int) -> str:
    """The text for a value of *size* bytes, of which at most *limit* are allowed."""
    return f"too large: at most {limit} bytes as JSON are allowed, {size} were given"


def too_nested(levels: int) -> str:
    """The text for a message with *levels* levels, which are too many."""
    return f"nested too deeply: at most {MAX_DEPTH} levels are allowed, {levels} were given"
