"""Decoding in steps: messages that are large, or that something is wrong with.

Such a message is cut into its fields, and each of them is parsed, screened and held against its bound by itself. What
the server doesn't keep is passed over, and an object that is over its bound is not parsed. So no step takes long, and
no more memory is used than what is kept takes, whatever is in the message.
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
from copilot_socket.wire.items import LARGE
from copilot_socket.wire.kinds import MAX_PATH, Elements, Kind
from copilot_socket.wire.schemas import Bound, pointer
from copilot_socket.wire.screening import MAX_DEPTH, forbidden, least_size, parse, suspicious, too_deep

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Something that is made in steps, between which others may have their turn."""

MAX_FAULTS = 100
"""Faults of one message that are told of one by one."""
MAX_ELEMENT = 1 << 16
"""Bytes of one element of a list that can do without bad ones."""
MAX_SPREAD = 4
"""Times its bound that an object may take as it was sent, with spaces and escapes."""
_TOGETHER = 64
"""Parts that are dealt with in one step."""
_TOGETHER_BYTES = 1 << 15
"""Bytes of elements that are parsed in one step, or one more element than that."""
_MANY_ELEMENTS = (
    "send them in several messages, or raise SOCKET_MAX_MESSAGE_SIZE, which allows one for each 100 bytes"
)
_LIST, _OBJECT = ord("["), ord("{")
_DATA = 2
"""The level of a message's data."""
_ENVELOPE = ("type", "timestamp", "id", "jobId", "data")


class Inspection:
    """One message, given as *text*. At most *most_elements* good elements of a list are taken."""

    def __init__(self, kinds: Mapping[str, Kind], text: bytes, most_elements: int) -> None:
        self._kinds = kinds
        self._text = text
        self._most_elements = most_elements
        self._suspect = suspicious(text)
        self._value: Json = {}
        """The message, as far as it is kept."""
        self._list: Part | None = None
        """Where the list is that can do without bad elements."""
        self._forbidden: tuple[str, str] | None = None
        """JSON pointer and text of the first forbidden value."""
        self._faults: list[Fault] = []

    def message(self) -> Steps[Message]:
        """The message. Raises :class:`ProtocolError`: ``invalid_json``, ``unknown_type`` or ``invalid_message``."""
        try:
            return (yield from self._message())
        except NotJson as error:
            text = f"Message is not valid JSON: {error}"[:300]
            raise refusal(beginning(self._text), None, text, ErrorCode.INVALID_JSON) from None

    def _message(self) -> Steps[Message]:
        text, value = self._text, self._value
        if len(text) <= LARGE and not too_deep(text):
            parse(text, self._suspect)  # where that is soon done, what is passed over below has to be JSON too
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
            text = f"Unknown message type {type_[:64]!r}; the types are {', '.join(INCOMING)}"
            raise refusal(self._value, "/type", text, ErrorCode.UNKNOWN_TYPE)
        return kind

    # -- fields

    def _parts(self, begin: int, end: int, names: "Mapping[str, Any] | tuple[str, ...]") -> Steps[dict[str, Part]]:
        """Those fields of the object at *begin* that are called one of *names*; of equal names the last one."""
        found: dict[str, Part] = {}
        count = 0
        for part in fields(self._text, begin, end):
            count += 1
            if part is None or not count % _TOGETHER:
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
        """What is neither object nor list. Of those, which are not allowed here, an empty one to complain of."""
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
        """A free object, or whatever else has a bound in bytes."""
        _, begin, end, levels = part
        assert bound.size is not None
        size = end - begin
        if _DATA + levels > MAX_DEPTH:
            return self._over(kind, name, bound, too_nested(_DATA + levels))
        if bound.size < size <= MAX_SPREAD * bound.size:
            size = least_size(self._text[begin:end])
        if size <= bound.size:
            value = self._parsed(begin, end, f"/data/{name}")
            size = len(orjson.dumps(value))
        if size > bound.size:
            return self._over(kind, name, bound, too_big(size, bound.size))
        if bound.items is not None and len(value) > bound.items:
            return self._over(kind, name, bound, too_long(len(value), bound.items))
        return value

    def _strings(self, kind: Kind, name: str, part: Part, bound: Bound) -> Steps[Any]:
        """A list of scalars; one without a bound is not kept."""
        values: list[Any] = []
        if bound.items is None:
            return values
        count = 0
        for element in elements(self._text, part[1], part[2]):
            if element is None or not count % _TOGETHER:
                yield
            if element is not None:
                count += 1
                if count <= bound.items:
                    values.append(self._scalar(element, f"data/{name}/{count - 1}"))
        return values if count <= bound.items else self._over(kind, name, bound, too_long(count, bound.items))

    def _over(self, kind: Kind, name: str, bound: Bound, text: str) -> Any:
        """Something is over its bound: a report that ends an attempt is stored without it, all else is refused."""
        if not kind.ends:
            self._refuse(f"/data/{name}", text)
        self._faults.append(Fault(f"/data/{name}", f"{text}; the report is stored without it"))
        return {} if bound.required else None

    # -- elements

    def _with_elements(self, kind: Elements, part: Part) -> Steps[Callable[[Json], Any]]:
        """What makes the data with the good elements. Of the bad ones so many are told of, and then their number."""
        where, read, most = f"/data/{kind.name}", kind.reader(self._value["data"]), self._most_elements
        good: list[Found] = []
        count = bad = parsed = 0
        for element in elements(self._text, part[1], part[2]):
            if element is None or not count % _TOGETHER or parsed > _TOGETHER_BYTES:
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
        """What was found; for a bad element JSON pointer, within it, and text of what is wrong, if that is asked."""
        _, begin, end, levels = part
        if self._text[begin] == _OBJECT and end - begin <= MAX_ELEMENT and _DATA + 1 + levels <= MAX_DEPTH:
            element, suspect = parse(self._text[begin:end], self._suspect)
            wrong = next(forbidden(element), None) if suspect else None
            if wrong is None and kind.has_long_path(element):
                wrong = (kind.path,), f"a path may have {MAX_PATH} bytes"
            if wrong is None and kind.schema.accepts(element):
                return read(element)
            if not explain:
                return None
            return kind.schema.explain(element) if wrong is None else (pointer(wrong[0]), wrong[1])
        if not explain:
            return None
        if end - begin > MAX_ELEMENT:
            return "", too_big(end - begin, MAX_ELEMENT)
        if _DATA + 1 + levels > MAX_DEPTH:
            return "", too_nested(_DATA + 1 + levels)
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
    """Something takes *size* bytes, which is too many."""
    return f"too large: at most {limit} bytes as JSON are allowed, {size} were given"


def too_nested(levels: int) -> str:
    """A message has *levels* levels, which are too many."""
    return f"nested too deeply: at most {MAX_DEPTH} levels are allowed, {levels} were given"
