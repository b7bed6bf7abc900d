"""Values that JSON allows and the protocol forbids: U+0000, lone surrogates, integers past ±2^53, deep nesting."""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from copilot_socket.wire.cutting import NotJson
from copilot_socket.wire.levels import nesting, outside_strings, whole_escapes

Path = tuple[str | int, ...]
_Chain = tuple[Any, str | int] | None

MAX_INTEGER = 2**53
MAX_DEPTH = 100
"""Levels of lists and objects in a message, the message itself and its data being two of them."""
SHALLOW = 2 * MAX_DEPTH
"""Bytes up to which a message can't be nested too deeply."""
BAD_STRING = "a string must not hold U+0000 or a lone surrogate"
_BACKSLASH = ord("\\")
"""An int: ``bytes in bytes`` first tries to read its left side as an int, and takes five times as long."""
_DIGITS = bytes(ord("0") if byte in b"0123456789" else ord(" ") for byte in range(256))
_MANY = len(str(MAX_INTEGER))
_MANY_DIGITS = b"0" * _MANY
_STRIDE = 4
_SAMPLED = b"0" * (_MANY // _STRIDE)

_LONE_SURROGATE = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F][0-9a-fA-F]{2})"
)
"""For text without escaped backslashes, so that each backslash begins an escape."""
_LONG_NUMBER = re.compile(rb"[0-9]{%d,}" % _MANY)
_TOO_LARGE = str(MAX_INTEGER + 1).encode()


def suspicious(data: bytes) -> bool:
    """Whether *data*, one or many messages, might hold a forbidden value; if not, no further check is needed.

    A run of 16 digits also shows in every fourth byte, which is faster to search. Lone surrogates don't count: the
    parser refuses them.
    """
    if _BACKSLASH in data and b"\\u0000" in data:
        return True
    return data[::_STRIDE].translate(_DIGITS).find(_SAMPLED) >= 0 and data.translate(_DIGITS).find(_MANY_DIGITS) >= 0


def too_deep(data: bytes) -> bool:
    """Whether *data* has more than ``MAX_DEPTH`` levels, or is not JSON whose levels can be counted."""
    if data.count(b"{") + data.count(b"[") <= MAX_DEPTH:
        return False
    outside = outside_strings(whole_escapes(data), in_string=False)
    return outside is None or nesting(outside[0])[2] > MAX_DEPTH


def parsed_too_deep(data: bytes, value: Any) -> bool:
    """Whether *value*, parsed from *data*, has more than ``MAX_DEPTH`` levels; in a tenth of the time."""
    return data.count(b"{") + data.count(b"[") > MAX_DEPTH and not _WRAPPED.can_be_written(value)


class _Wrapped:
    """Nested lists around a value: as many as make orjson, whose depth is limited, refuse what is too deep."""

    def __init__(self) -> None:
        self._innermost: list[Any] = []
        self._lists: list[Any] = self._innermost
        while self.can_be_written(self._levels(MAX_DEPTH)):
            self._lists = [self._lists]
        [self._lists] = self._lists

    def can_be_written(self, value: Any) -> bool:
        """Whether orjson can write the lists with *value* in the innermost."""
        self._innermost[:] = [value]
        try:
            orjson.dumps(self._lists)
        except orjson.JSONEncodeError:
            return False
        finally:
            self._innermost.clear()
        return True

    @staticmethod
    def _levels(number: int) -> list[Any]:
        value: list[Any] = []
        for _ in range(number - 1):
            value = [value]
        return value


_WRAPPED = _Wrapped()


def least_size(text: bytes) -> int:
    """A lower bound of the bytes of *text* without spaces and unneeded escapes, its numbers as written."""
    found = outside_strings(text, in_string=False)
    spaces = 0 if found is None else len(found[0]) - len(found[0].translate(None, b" \t\r\n"))
    return len(text) - spaces - 5 * text.count(b"\\u") - text.count(b"\\/")


def parse(text: bytes, suspect: bool) -> tuple[Any, bool]:
    """*text* parsed, and whether it may hold a forbidden value; *suspect*: it is :func:`suspicious`.

    Lone surrogates are replaced by U+0000 (and other strings of the text may be damaged), integers too large for the
    parser by a smaller one that is still forbidden. Raises :class:`NotJson`.
    """
    if suspect:
        text = _with_large_integers(text)
    try:
        return orjson.loads(text), suspect
    except orjson.JSONDecodeError as error:
        spoilt, lone = _LONE_SURROGATE.subn(rb"\\u0000", text.replace(rb"\\", b"__"))
        if lone:
            return _parse_plainly(spoilt), True
        raise NotJson(str(error)) from None


def _parse_plainly(text: bytes) -> Any:
    """*text* parsed without replacements. Raises :class:`NotJson`."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise NotJson(str(error)) from None


def _with_large_integers(text: bytes) -> bytes:
    """*text* with every integer above 2^53 replaced by 2^53 + 1: the parser turns very large ones into floats."""
    parts: list[bytes] = []
    at, in_string = 0, False
    # The same length, and each remaining quote begins or ends a string.
    plain = text.replace(rb"\\", b"__").replace(rb"\"", b"__")
    for found in _LONG_NUMBER.finditer(plain):
        begin, end = found.span()
        in_string ^= plain.count(b'"', at, begin) % 2 == 1
        large = not in_string and _is_large_integer(plain, begin, end)
        parts += (text[at:begin], _TOO_LARGE if large else found[0])
        at = end
    return b"".join((*parts, text[at:]))


def _is_large_integer(text: bytes, begin: int, end: int) -> bool:
    """Whether the digits ``text[begin:end]`` are an integer above 2^53, not part of a fraction or exponent."""
    before, behind = text[max(0, begin - 2) : begin], text[end : end + 1]
    if before[-1:] in (b".", b"+", b"e", b"E") or before in (b"e-", b"E-") or behind in (b".", b"e", b"E"):
        return False
    return end - begin > _MANY or int(text[begin:end]) > MAX_INTEGER


def forbidden(value: Any) -> Iterator[tuple[Path, str]]:
    """Path and text for each forbidden value in *value*."""
    # Linked chains instead of paths: the paths of many wide, deep lists would take gigabytes.
    stack: list[tuple[_Chain, Any]] = []
    complaint = _scalar(value)
    if complaint is not None:
        yield (), complaint
    elif isinstance(value, dict | list):
        stack.append((None, value))
    while stack:
        chain, container = stack.pop()
        inside = container.items() if isinstance(container, dict) else enumerate(container)
        for key, inner in inside:
            if isinstance(key, str) and "\0" in key:
                yield _path(chain), f"in the name of a field, {BAD_STRING}"
            if isinstance(inner, dict | list):
                stack.append(((chain, key), inner))
                continue
            complaint = _scalar(inner)
            if complaint is not None:
                yield _path((chain, key)), complaint


def _path(chain: _Chain) -> Path:
    path: list[str | int] = []
    while chain is not None:
        chain, key = chain
        path.append(key)
    return tuple(reversed(path))


def _scalar(value: Any) -> str | None:
    if isinstance(value, str):
        return BAD_STRING if "\0" in value else None
    if isinstance(value, int) and not -MAX_INTEGER <= value <= MAX_INTEGER:
        return f"an integer must be within ±2^53 ({MAX_INTEGER})"
    return None
