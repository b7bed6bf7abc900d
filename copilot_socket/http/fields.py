"""Checks for the fields of a request body. A check returns the value to store, or raises ValueError.

The message of that error follows "<path>: " and says what is allowed, never what was given, which may be a token.
"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
import orjson

from copilot_socket.core.origins import origin
from copilot_socket.core.pointers import reference_token
from copilot_socket.http.messages import Faults

Check = Callable[[Any], Any]

PROVIDERS = ("gitlab-onprem", "gitlab-cloud")
MAX_STATE = 64 * 1024
"""Bytes of a resume state, as compact JSON."""
MAX_LEVELS = 100
"""Levels of nesting in a resume state."""
MAX_INTEGER = 2**53
"""Many JSON parsers round integers beyond it."""
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_SUSPICIOUS = re.compile(rb"\\u0000|[0-9]{16}|[0-9]e[-+0-9]")
"""Found in the JSON of any value with U+0000, a very large integer or an exponent, and rarely in others."""
MAX_NAME = 200
"""Characters of an unknown name that an error repeats."""
_NOT_STORABLE = "must not contain U+0000 or lone surrogates"


@attrs.frozen
class Field:
    """A field's check, and whether the field is required. ``null`` counts as missing, unless *nullable*."""

    check: Check
    required: bool = False
    nullable: bool = False


def text(longest: int) -> Check:
    """A check for strings of 1 to *longest* bytes (UTF-8) that PostgreSQL can store."""

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
    """Check a token: printable ASCII without spaces, valid in a header."""
    if not isinstance(value, str) or not re.fullmatch("[!-~]{1,8192}", value):
        raise ValueError("must be a token of 1 to 8192 printable ASCII characters without spaces")
    return value


def one_of(*names: str) -> Check:
    """A check for one of *names*."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return value

    return check


def integer(low: int, high: int) -> Check:
    """A check for integers from *low* to *high*."""

    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"must be an integer from {low} to {high}")
        return value

    return check


def timestamp(value: Any) -> str:
    """Check an ISO-8601 time with time zone, between the years 2000 and 2200; returns it in UTC."""
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
    """Check the URL of a GitLab: http or https, a host, no user name, query or fragment. Removes trailing slashes."""
    scheme, colon, rest = text(2048)(value).partition(":")
    found = f"{scheme.lower()}{colon}{rest}".rstrip("/")
    if origin(found) is None:
        raise ValueError("must be an http or https URL with a host and without user name, query or fragment")
    return found


def gitlab_origin(value: Any) -> str | None:
    """Check the URL of a GitLab; returns its origin."""
    return origin(url(value))


def json_object(value: Any) -> bytes:
    """Check a JSON object that PostgreSQL can store and any crawler can read; returns it as compact JSON."""
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    try:
        encoded = orjson.dumps(value)
    except (TypeError, RecursionError):
        encoded = None
    if _too_deep(value, encoded):
        raise ValueError(f"must be nested at most {MAX_LEVELS} levels deep")
    # First _zeros(), whose errors are specific: the encoder refuses lone surrogates and integers past 64 bits too.
    zeros = _zeros(value) if encoded is None or _SUSPICIOUS.search(encoded) else 0
    if encoded is None or len(encoded) + zeros > MAX_STATE:
        raise ValueError(f"must be at most {MAX_STATE} bytes of JSON, with numbers written without exponents")
    return bytes(memoryview(encoded))  # a copy: the encoder's own bytes object keeps 8 KiB allocated


def _too_deep(value: Any, encoded: bytes | None) -> bool:
    """Whether *value* has more than ``MAX_LEVELS`` levels; *encoded* is its JSON, None if it can't be encoded."""
    if encoded is not None and encoded.count(b"{") + encoded.count(b"[") <= MAX_LEVELS:
        return False
    level = [value]
    for _ in range(MAX_LEVELS):
        level = [part for each in level for part in _parts(each) if isinstance(part, dict | list)]
        if not level:
            return False
    return True


def _zeros(value: Any) -> int:
    """Number of zeros that PostgreSQL's jsonb, which has no exponents, adds to the numbers in *value*.

    Raises ValueError for strings that PostgreSQL can't store, and integers that some parsers round.
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
    """The valid fields of *document*; errors are added to *faults*."""
    if not isinstance(document, dict):
        faults.add(path, f"must be an object with the fields {', '.join(fields)}")
        return {}
    values: dict[str, Any] = {}
    for name, given in document.items():
        field = fields.get(name)
        if field is None:
            _add_unknown(name, fields, path, faults)
        elif given is None and field.nullable:
            values[name] = None
        elif given is not None:
            try:
                values[name] = field.check(given)
            except ValueError as error:
                faults.add(f"{path}/{name}", str(error))
    for name, field in fields.items():
        if field.required and document.get(name) is None and not (field.nullable and name in document):
            null = ", or null" if field.nullable else ""
            faults.add(f"{path}/{name}", f"is required: {_allowed(field.check)}{null}")
    return values


def _add_unknown(name: str, fields: Mapping[str, Field], path: str, faults: Faults) -> None:
    if faults.full:
        faults.add("", "")  # only counted: there may be many, and their texts would not be listed
    else:
        faults.add(pointer(path, name), f"unknown field; allowed: {', '.join(fields)}")


def pointer(path: str, name: str) -> str:
    """The JSON pointer to *name* in *path*; *name* is cut to :data:`MAX_NAME`, and made encodable as UTF-8."""
    return f"{path}/{reference_token(name, MAX_NAME).encode('utf-8', 'replace').decode()}"


def _allowed(check: Check) -> str:
    try:
        check(None)
    except ValueError as error:
        return str(error)
    return "it must be given"


def names(allowed: Collection[str]) -> str:
    """*allowed*, listed in an error text."""
    return ", ".join(allowed) or "none"
