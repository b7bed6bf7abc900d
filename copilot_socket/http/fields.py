"""Checks for the fields of a request body. A check returns the value to store, or raises ValueError.

The message of that error completes the sentence "<path>: …" and says what is allowed, never what was given: it
may have been a token.
"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
import orjson

from copilot_socket.core.origins import origin
from copilot_socket.http.messages import Faults

Check = Callable[[Any], Any]

PROVIDERS = ("gitlab-onprem", "gitlab-cloud")
MAX_STATE = 64 * 1024
"""Bytes of a resume state, as compact JSON."""
MAX_LEVELS = 100
"""Levels of nesting in a resume state."""
MAX_INTEGER = 2**53
"""Integers beyond it lose digits in many JSON parsers."""
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_SUSPICIOUS = re.compile(rb"\\u0000|[0-9]{16}|[0-9]e[-+0-9]")
"""What the JSON of a value shows that has U+0000, a very large integer or an exponent in it, and few others."""
_MENTIONED = 200
"""Characters of an unknown name that an error repeats."""
_NOT_STORABLE = "must not contain U+0000 or lone surrogates"


@attrs.frozen
class Field:
    """A field's check, and whether it must be there. ``null`` is as good as leaving it out."""

    check: Check
    required: bool = False


def text(longest: int) -> Check:
    """A string of 1 to *longest* bytes (UTF-8) that PostgreSQL can store."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or len(value) > longest:
            raise ValueError(f"must be a string of 1 to {longest} bytes")
        if _UNSTORABLE.search(value):
            raise ValueError(_NOT_STORABLE)
        if not 1 <= len(value.encode()) <= longest:
            raise ValueError(f"must be a string of 1 to {longest} bytes")
        return value

    return check


def token(value: Any) -> str:
    """A token: printable ASCII without spaces, so that it fits into a header."""
    if not isinstance(value, str) or not re.fullmatch("[!-~]{1,8192}", value):
        raise ValueError("must be a token of 1 to 8192 printable ASCII characters without spaces")
    return value


def one_of(*names: str) -> Check:
    """One of a few names."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return value

    return check


def integer(low: int, high: int) -> Check:
    """An integer from *low* to *high*."""

    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"must be an integer from {low} to {high}")
        return value

    return check


def timestamp(value: Any) -> str:
    """A time between 2000 and 2200, in ISO-8601 with its time zone; returned in UTC."""
    try:
        given = datetime.fromisoformat(value)
        moment = given.astimezone(UTC) if given.tzinfo is not None else None
    except (ValueError, TypeError, OverflowError):
        moment = None
    if moment is None:
        raise ValueError("must be an ISO-8601 time with a time zone, such as 2030-01-31T12:00:00Z")
    if not 2000 <= moment.year < 2200:
        raise ValueError("must be a time between the years 2000 and 2200")
    return moment.isoformat()


def url(value: Any) -> str:
    """The URL of a GitLab: http or https, a host, no user name, query or fragment. A trailing slash is removed."""
    scheme, colon, rest = text(2048)(value).partition(":")
    found = f"{scheme.lower()}{colon}{rest}".rstrip("/")
    if origin(found) is None:
        raise ValueError("must be an http or https URL with a host and without user name, query or fragment")
    return found


def gitlab_origin(value: Any) -> str | None:
    """The origin of a GitLab, of any URL there."""
    return origin(url(value))


def json_object(value: Any) -> bytes:
    """A JSON object that PostgreSQL can store and any crawler can read; returned as compact JSON."""
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    try:
        encoded = orjson.dumps(value)
    except (TypeError, RecursionError):
        encoded = None
    if _deeper(value, encoded):
        raise ValueError(f"must be nested at most {MAX_LEVELS} levels deep")
    # In this order, since the encoder refuses lone surrogates and integers past 64 bits, and says little of it.
    zeros = _zeros(value) if encoded is None or _SUSPICIOUS.search(encoded) else 0
    if encoded is None or len(encoded) + zeros > MAX_STATE:
        raise ValueError(f"must be at most {MAX_STATE} bytes of JSON, with numbers written without exponents")
    return bytes(memoryview(encoded))  # a copy, since the encoder's own bytes keep 8 KiB of memory, however short


def _deeper(value: Any, encoded: bytes | None) -> bool:
    """Whether *value* has more than ``MAX_LEVELS`` levels; *encoded* is None if it can't be encoded."""
    if encoded is not None and encoded.count(b"{") + encoded.count(b"[") <= MAX_LEVELS:
        return False
    level = [value]
    for _ in range(MAX_LEVELS):
        level = [part for each in level for part in _parts(each) if isinstance(part, dict | list)]
        if not level:
            return False
    return True


def _zeros(value: Any) -> int:
    """How many zeros PostgreSQL, which has no exponents, adds to the numbers in *value*.

    Raises ValueError for a string or an integer that not everybody can read.
    """
    zeros = 0
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, dict | list):
            left += _parts(each)
            left += each if isinstance(each, dict) else ()
        elif isinstance(each, str) and _UNSTORABLE.search(each):
            raise ValueError(_NOT_STORABLE)
        elif isinstance(each, int) and abs(each) > MAX_INTEGER:
            raise ValueError("must not contain integers beyond ±2^53")
        elif isinstance(each, float):
            zeros += abs(int(repr(each).partition("e")[2] or 0))
    return zeros


def _parts(value: Any) -> Collection[Any]:
    return value.values() if isinstance(value, dict) else value


def read(document: Any, fields: Mapping[str, Field], path: str, faults: Faults) -> dict[str, Any]:
    """The fields of *document* that are right; what is wrong is added to *faults*."""
    if not isinstance(document, dict):
        faults.add(path, f"must be an object with the fields {', '.join(fields)}")
        return {}
    values: dict[str, Any] = {}
    for name, given in document.items():
        field = fields.get(name)
        if field is None:
            _add_unknown(name, fields, path, faults)
        elif given is not None:
            try:
                values[name] = field.check(given)
            except ValueError as error:
                faults.add(f"{path}/{name}", str(error))
    for name, field in fields.items():
        if field.required and document.get(name) is None:
            faults.add(f"{path}/{name}", f"is required: {_allowed(field.check)}")
    return values


def _add_unknown(name: str, fields: Mapping[str, Field], path: str, faults: Faults) -> None:
    if faults.full:
        faults.add("", "")  # there may be many of them: no text is made that nobody reads
    else:
        faults.add(pointer(path, name), f"unknown field; allowed: {', '.join(fields)}")


def pointer(path: str, name: str) -> str:
    """*path* (a JSON pointer) and then *name*, shortened, in characters that can be sent."""
    shown = name[:_MENTIONED].replace("~", "~0").replace("/", "~1").encode("utf-8", "replace").decode()
    return f"{path}/{shown}"


def _allowed(check: Check) -> str:
    try:
        check(None)
    except ValueError as error:
        return str(error)
    return "it must be given"


def names(allowed: Collection[str]) -> str:
    """What is allowed, for a message."""
    return ", ".join(allowed) or "none"
