"""What may stand in the fields of a request body. A check returns what is to be stored, or raises ValueError.

The message of that error completes the sentence "<path>: …" and says what is allowed, never what was given: it
may have been a token.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs
import orjson

from copilot_socket.core.origins import origin
from copilot_socket.http.messages import Fault

Check = Callable[[Any], Any]

PROVIDERS = ("gitlab-onprem", "gitlab-cloud")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_MENTIONED = 200


@attrs.frozen
class Field:
    """A field's check, and whether it must be there. ``null`` is as good as leaving it out."""

    check: Check
    required: bool = False


def text(longest: int) -> Check:
    """A string of 1 to *longest* bytes (UTF-8) that PostgreSQL can store."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"must be a string of 1 to {longest} bytes")
        if _UNSTORABLE.search(value):
            raise ValueError("must hold neither U+0000 nor lone surrogates")
        if not 1 <= len(value.encode()) <= longest:
            raise ValueError(f"must be a string of 1 to {longest} bytes")
        return value

    return check


def token(value: Any) -> str:
    """A token: printable ASCII without blanks, so that it fits into a header."""
    if not isinstance(value, str) or not re.fullmatch("[!-~]{1,8192}", value):
        raise ValueError("must be a token of 1 to 8192 printable ASCII characters without blanks")
    return value


def one_of(*names: str) -> Check:
    """One of a few names."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return value

    return check


def integer(low: int, high: int) -> Check:
    """A whole number from *low* to *high*."""

    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return check


def timestamp(value: Any) -> str:
    """A moment, in ISO-8601 with its zone; returned in UTC."""
    try:
        given = datetime.fromisoformat(value)
        moment = given.astimezone(UTC) if given.tzinfo is not None else None
    except (ValueError, TypeError, OverflowError):
        moment = None
    if moment is None:
        raise ValueError("must be a time in ISO-8601 with its zone, such as 2030-01-31T12:00:00Z")
    return moment.isoformat()


def url(value: Any) -> str:
    """The address of a GitLab: http or https, a host, no user name, query or fragment; without a slash at the end."""
    scheme, colon, rest = text(2048)(value).partition(":")
    found = f"{scheme.lower()}{colon}{rest}".rstrip("/")
    if origin(found) is None:
        raise ValueError("must be an http or https URL with a host and without user name, query or fragment")
    return found


def json_object(value: Any) -> Any:
    """A JSON object that PostgreSQL can store."""
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    try:
        # Cheap first: what is suspicious in the text is then looked at string by string.
        if b"\\u0000" in orjson.dumps(value) and _holds_unstorable(value):
            raise ValueError("must hold neither U+0000 nor lone surrogates")
    except (TypeError, RecursionError):
        raise ValueError(
            "must hold no lone surrogates, no integers over 64 bits, and be nested less than 250 deep"
        ) from None
    return value


def _holds_unstorable(value: Any) -> bool:
    if isinstance(value, str):
        return _UNSTORABLE.search(value) is not None
    if isinstance(value, dict):
        return any(_holds_unstorable(part) for pair in value.items() for part in pair)
    return isinstance(value, list) and any(_holds_unstorable(part) for part in value)


def read(document: Any, fields: Mapping[str, Field], path: str, faults: list[Fault]) -> dict[str, Any]:
    """The fields of *document* that are right; what is wrong is added to *faults*."""
    if not isinstance(document, dict):
        faults.append(Fault(path, f"must be an object with the fields {', '.join(fields)}"))
        return {}
    values: dict[str, Any] = {}
    for name, given in document.items():
        field = fields.get(name)
        if field is None:
            faults.append(Fault(pointer(path, name), f"is unknown: allowed are {', '.join(fields)}"))
        elif given is not None:
            try:
                values[name] = field.check(given)
            except ValueError as error:
                faults.append(Fault(f"{path}/{name}", str(error)))
    for name, field in fields.items():
        if field.required and document.get(name) is None:
            faults.append(Fault(f"{path}/{name}", f"is missing: {_allowed(field.check)}"))
    return values


def pointer(path: str, name: str) -> str:
    """*path* (a JSON pointer) and then *name*, in characters that can be sent."""
    shown = name.replace("~", "~0").replace("/", "~1").encode("utf-8", "replace").decode()
    return f"{path}/{shown[:_MENTIONED]}"


def _allowed(check: Check) -> str:
    try:
        check(None)
    except ValueError as error:
        return str(error)
    return "it must be given"


def names(fields: Mapping[str, Field] | Sequence[str]) -> str:
    """What is allowed, for a message."""
    return ", ".join(fields) or "none"
