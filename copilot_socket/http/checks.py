"""Checks of single values in requests: what is allowed, in words for people and as JSON Schema.

A check is called with the value that was given; it returns the one to store, or raises ValueError. The message of
that error follows "<path>: " and says what is allowed, never what was given, which may be a token.

``schema`` says the same for programs, as far as JSON Schema can; ``x-maxBytes`` is a bound in bytes of UTF-8.
"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
import orjson

from copilot_socket.core.origins import origin

PROVIDERS = ("gitlab-onprem", "gitlab-cloud")
MAX_STATE = 64 * 1024
"""Bytes of a resume state, as compact JSON."""
MAX_LEVELS = 100
"""Levels of nesting in a resume state."""
MAX_INTEGER = 2**53
"""Many JSON parsers round integers beyond it."""
MAX_NAME = 255
MAX_URL = 2048
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_SUSPICIOUS = re.compile(rb"\\u0000|[0-9]{16}|[0-9]e[-+0-9]")
"""Found in the JSON of any value with U+0000, a very large integer or an exponent, and rarely in others."""
_ULID = re.compile("[0-7][0-9A-HJKMNP-TV-Z]{25}")
_NOT_STORABLE = "must not contain U+0000 or lone surrogates"


def _same(text: str) -> Any:
    return text


@attrs.frozen
class Check:
    """Calls *accept* with a value. *schema* is that of the values that it accepts.

    *parse* makes that value of the text of a query parameter; what it does not understand it leaves to *accept*.
    *of*: the class of objects that it accepts, whose schema is described apart.
    """

    accept: Callable[[Any], Any]
    schema: Mapping[str, Any]
    parse: Callable[[str], Any] = _same
    of: type | None = None

    def __call__(self, value: Any) -> Any:
        """The value to store. Raises ValueError."""
        return self.accept(value)

    @property
    def allowed(self) -> str:
        """What is allowed, in words."""
        try:
            self.accept(None)
        except ValueError as error:
            return str(error)
        return "it must be given"


def text(longest: int) -> Check:
    """A check for strings of 1 to *longest* bytes (UTF-8) that PostgreSQL can store."""

    def accept(value: Any) -> str:
        if not isinstance(value, str) or len(value) > longest:
            raise ValueError(f"must be a string of 1 to {longest} bytes")
        if _UNSTORABLE.search(value):
            raise ValueError(_NOT_STORABLE)
        if not 1 <= len(value.encode()) <= longest:
            raise ValueError(f"must be a string of 1 to {longest} bytes")
        return value

    bounds = {"minLength": 1, "maxLength": longest, "x-maxBytes": longest}
    return Check(accept, {"type": "string", **bounds, "pattern": r"^[^\u0000]*$"})


def _characters(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME:
        raise ValueError(f"must be a string of 1 to {MAX_NAME} characters")
    if _UNSTORABLE.search(value):
        raise ValueError(_NOT_STORABLE)
    return value


short_name = Check(_characters, {"type": "string", "minLength": 1, "maxLength": MAX_NAME, "pattern": r"^[^\u0000]*$"})
"""A check for names that are bounded in characters, as crawlers' ids and users are in the database."""


def matching(pattern: str, longest: int, what: str) -> Check:
    """A check for strings of 1 to *longest* characters, each of which matches *pattern*; *what*: in words."""
    compiled = re.compile(f"{pattern}{{1,{longest}}}")

    def accept(value: Any) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise ValueError(f"must be {what}")
        return value

    return Check(accept, {"type": "string", "minLength": 1, "maxLength": longest, "pattern": f"^{compiled.pattern}$"})


token = matching("[!-~]", 8192, "a token of 1 to 8192 printable ASCII characters without spaces")
"""A check for tokens: what is valid in a header."""


def ulid(what: str) -> Check:
    """A check for ids that the database has made; *what*: of what, in words."""

    def accept(value: Any) -> str:
        if not isinstance(value, str) or not _ULID.fullmatch(value):
            raise ValueError(f"must be the id of {what}")
        return value

    return Check(accept, {"type": "string", "pattern": f"^{_ULID.pattern}$"})


def one_of(*names: str) -> Check:
    """A check for one of *names*."""
    allowed = frozenset(names)

    def accept(value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"must be one of {', '.join(names)}")
        return value

    return Check(accept, {"type": "string", "enum": [str(name) for name in names]})


def integer(low: int, high: int) -> Check:
    """A check for integers from *low* to *high*; 3.0 is one in JSON Schema."""

    def accept(value: Any) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"must be an integer from {low} to {high}")
        return value

    return Check(accept, {"type": "integer", "minimum": low, "maximum": high}, _number)


def _number(text: str) -> Any:
    return int(text) if re.fullmatch("-?[0-9]{1,18}", text) else text


def number(low: float, high: float) -> Check:
    """A check for numbers from *low* to *high*, in bodies."""

    def accept(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return Check(accept, {"type": "number", "minimum": low, "maximum": high})


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


flag = Check(_flag, {"type": "boolean"}, lambda text: {"true": True, "false": False}.get(text, text))
"""A check for booleans."""


def listed(each: Check, most: int, what: str) -> Check:
    """A check for lists of 1 to *most* values that *each* accepts; *what*: these, in words."""

    def accept(value: Any) -> list[Any]:
        if not isinstance(value, list) or not 1 <= len(value) <= most:
            raise ValueError(f"must be a list of 1 to {most} {what}")
        found = []
        for number, part in enumerate(value):
            try:
                found.append(each(part))
            except ValueError as error:
                raise ValueError(f"element {number} {error}") from None
        return found

    return Check(accept, {"type": "array", "minItems": 1, "maxItems": most, "items": each.schema})


def some_of(*allowed: str) -> Check:
    """A check for lists of names in *allowed*, in queries separated by commas; returns them as a set."""
    known = frozenset(allowed)

    def accept(value: Any) -> frozenset[str]:
        if isinstance(value, list) and value and all(isinstance(name, str) and name in known for name in value):
            return frozenset(value)
        raise ValueError(f"must be a list, in a query separated by commas, of {', '.join(allowed)}")

    items = {"type": "string", "enum": [str(name) for name in allowed]}
    return Check(accept, {"type": "array", "minItems": 1, "items": items}, lambda text: text.split(","))


def _timestamp(value: Any) -> str:
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


timestamp = Check(_timestamp, {"type": "string", "format": "date-time", "pattern": "^2[01]"})
"""A check for ISO-8601 times with a time zone, between the years 2000 and 2200; returns them in UTC."""


def _url(value: Any) -> str:
    scheme, colon, rest = _url_text(value).partition(":")
    found = f"{scheme.lower()}{colon}{rest}".rstrip("/")
    if origin(found) is None:
        raise ValueError("must be an http or https URL with a host and without user name, query or fragment")
    return found


_url_text = text(MAX_URL)
_URL_SCHEMA = {**_url_text.schema, "format": "uri", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@]+[^?#]*$"}
url = Check(_url, _URL_SCHEMA)
"""A check for URLs of a GitLab: http or https, a host, no user name, query or fragment. Removes trailing slashes."""
origin_url = Check(lambda value: origin(_url(value)), _URL_SCHEMA)
"""The same; returns the origin of the URL."""


def _json_object(value: Any) -> bytes:
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


json_object = Check(_json_object, {"type": "object", "x-maxBytes": MAX_STATE})
"""A check for JSON objects that PostgreSQL can store and any crawler can read; returns compact JSON."""


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
