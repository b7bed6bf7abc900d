"""Messages to bytes: one compact JSON object and a newline, ASCII, no brace inside a string.

A widely used crawler finds the end of a message by counting braces and does not know strings; and it damages
characters that are cut between two reads. Both are spared to it here.
"""

import re
from datetime import UTC, datetime
from json import JSONEncoder

import orjson

from copilot_socket.core.replies import Reply

_encode = JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_PLAIN_TYPES = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def encode(reply: Reply) -> bytes:
    """*reply* as it goes over the wire."""
    type_, job_id, data = reply.wire()
    message: dict[str, object] = {"type": type_, "timestamp": _now(), "data": data}
    if job_id is not None:
        message["jobId"] = job_id
    return encode_object(message)


def encode_object(message: dict[str, object]) -> bytes:
    """One JSON object and ``\\n``. Raises ``ValueError`` for NaN and infinities, which JSON does not have."""
    quick = _encode_plain(message)
    if quick is not None:
        return quick + b"\n"
    return (_escape_braces(_encode(message)) + "\n").encode("ascii")


def _encode_plain(message: dict[str, object]) -> bytes | None:
    """The quick way, for what needs no escape at all; None where it cannot tell. It writes NaN as null."""
    try:
        data = orjson.dumps(message, option=_PLAIN_TYPES)
    except orjson.JSONEncodeError:
        return None
    if b"\\" in data or b"null" in data or not data.isascii():
        return None
    strings = b"".join(data.split(b'"')[1::2])
    return None if b"{" in strings or b"}" in strings else data


def _escape_braces(text: str) -> str:
    return _STRING.sub(_without_braces, text)


def _without_braces(match: re.Match[str]) -> str:
    found = match[0]
    if "{" in found or "}" in found:
        return found.replace("{", "\\u007b").replace("}", "\\u007d")
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
