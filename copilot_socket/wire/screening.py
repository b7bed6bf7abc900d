"""What JSON allows and this protocol does not: U+0000, lone surrogates, integers past ±2^53, bottomless nesting."""

import json
from collections.abc import Iterator
from math import isinf
from typing import Any

import orjson

Path = tuple[str | int, ...]
_Chain = tuple[Any, str | int] | None

MAX_INTEGER = 2**53
MAX_DEPTH = 500
"""Levels of lists and objects; far enough below where Python's own recursion ends to be safe anywhere."""
MAX_DIGITS = 20
_BACKSLASH = ord("\\")
"""A number, for which looking costs a fifth: "in" first tries whether bytes are one, and find does not."""
_DIGITS = bytes(ord("0") if byte in b"0123456789" else ord(" ") for byte in range(256))
_MANY_DIGITS = b"0" * len(str(MAX_INTEGER))
_STRIDE = 4
_SAMPLED = b"0" * (len(_MANY_DIGITS) // _STRIDE)
SHALLOW = 2 * MAX_DEPTH
"""So many bytes can't be nested too deeply."""


def suspicious(data: bytes) -> bool:
    """Whether *data* might hold a forbidden value; nearly always not, and then nothing else is looked at.

    *data* may be many messages. So many digits in a row show in every fourth byte too, which is quicker to look at.
    """
    if _BACKSLASH in data and b"\\u0000" in data:
        return True
    return data[::_STRIDE].translate(_DIGITS).find(_SAMPLED) >= 0 and data.translate(_DIGITS).find(_MANY_DIGITS) >= 0


def too_deep(data: bytes, value: Any) -> bool:
    """Whether *value*, parsed from *data*, has more than ``MAX_DEPTH`` levels."""
    if data.count(b"{") + data.count(b"[") <= MAX_DEPTH or _encodable(value):
        return False
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for item in level
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _encodable(value: Any) -> bool:
    """Whether orjson can write *value*: 254 levels at the most. Takes a tenth of the time of going through it."""
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        return False
    return True


def parse_exactly(data: bytes) -> Any:
    """*data* parsed with integers kept whole.

    Raises ``ValueError`` for what is no JSON (NaN is none), and ``RecursionError`` for what is nested very deeply.
    """
    return json.loads(data.decode("utf-8"), parse_constant=_refuse, parse_float=_finite, parse_int=_whole)


def forbidden(value: Any) -> Iterator[tuple[Path, str]]:
    """Path and complaint for each forbidden value in *value*, which is an object."""
    # The way to each container is a chain, not a path: many wide lists deep down would take up gigabytes.
    stack: list[tuple[_Chain, Any]] = [(None, value)]
    while stack:
        chain, container = stack.pop()
        inside = container.items() if isinstance(container, dict) else enumerate(container)
        for key, inner in inside:
            complaint = _string(key) if isinstance(key, str) else None
            if complaint is not None:
                yield _path(chain), f"in the name of a field, {complaint}"
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
        return _string(value)
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        return f"an integer must be within ±2^53 ({MAX_INTEGER})"
    return None


def _string(text: str) -> str | None:
    if "\x00" in text:
        return "a string must not hold U+0000"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "a string must not hold a lone surrogate"
    return None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


def _whole(text: str) -> int:
    # Turning digits into an int costs the square of their number; any that is too large is as good as another.
    return int(text) if len(text) <= MAX_DIGITS else MAX_INTEGER + 1
