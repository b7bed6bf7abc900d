"""Messages to bytes: one compact JSON object and a newline, ASCII, no brace inside a string.

A widely used crawler finds the end of a message by counting braces, those in strings too, and corrupts multi-byte
characters that are split between two reads. This encoding is safe for it.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from json import JSONEncoder
from json.encoder import encode_basestring_ascii
from time import time_ns

import orjson

from copilot_socket.core.replies import Ack, Reply

_encode = JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_BACKSLASH, _QUOTE = b'\\"'
_NEITHER_QUOTE_NOR_BRACE = bytes(set(range(256)) - set(b'"{}'))
_PLAIN_TYPES = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def encode(replies: Iterable[Reply]) -> bytes:
    """*replies* encoded for the wire, one after another, all with the current time."""
    now = _now()
    return b"".join([_encode_ack(each, now) if type(each) is Ack else _encode_reply(each, now) for each in replies])


def _encode_ack(ack: Ack, now: str) -> bytes:
    """From a template, in a third of the time: there is an ack for each report."""
    ref = encode_basestring_ascii(ack.ref)
    job = "" if ack.job_id is None else f',"jobId":{encode_basestring_ascii(ack.job_id)}'
    both = ref + job
    if "{" in both or "}" in both:
        ref, job = _without_braces(ref), _without_braces(job)
    return f'{{"type":"ack","timestamp":"{now}","data":{{"type":"{ack.type}","ref":{ref}}}{job}}}\n'.encode()


def _encode_reply(reply: Reply, now: str) -> bytes:
    type_, job_id, data = reply.wire()
    message: dict[str, object] = {"type": type_, "timestamp": now, "data": data}
    if job_id is not None:
        message["jobId"] = job_id
    return encode_object(message)


def encode_object(message: dict[str, object]) -> bytes:
    """*message* as JSON, and ``\\n``. Raises ``ValueError`` for NaN and infinities, which JSON does not have."""
    quick = _encode_plain(message)
    if quick is not None:
        return quick + b"\n"
    return (_escape_braces(_encode(message)) + "\n").encode("ascii")


def _encode_plain(message: dict[str, object]) -> bytes | None:
    """*message* encoded by orjson; None if it may need escapes, or hold NaN, which orjson writes as null."""
    try:
        data = orjson.dumps(message, option=_PLAIN_TYPES)
    except orjson.JSONEncodeError:
        return None
    # An int and find(), since `bytes in bytes` first tries to read its left side as an int, which is slow.
    if _BACKSLASH in data or data.find(b"null") >= 0 or not data.isascii():
        return None
    # Without escapes, quotes stand in pairs; a brace inside a string leaves an odd number of them on each side.
    skeleton = data.translate(None, _NEITHER_QUOTE_NOR_BRACE).replace(b'""', b"")
    return None if _QUOTE in skeleton else data


def _escape_braces(text: str) -> str:
    return _STRING.sub(lambda match: _without_braces(match[0]), text)


def _without_braces(string: str) -> str:
    return string.replace("{", "\\u007b").replace("}", "\\u007d")


class _Now:
    """The current time as text; all but the milliseconds is formatted once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def __call__(self) -> str:
        second, milliseconds = divmod(time_ns() // 1_000_000, 1000)
        if second != self._second:
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._second = second
        return f"{self._text}.{milliseconds:03d}Z"


_now = _Now()
