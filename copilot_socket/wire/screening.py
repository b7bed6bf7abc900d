"""What JSON allows and this protocol does not: U+0000, lone surrogates, integers past ±2^53."""

import json
import re
from collections.abc import Iterator
from typing import Any

MAX_INTEGER = 2**53
_SUSPICIOUS = re.compile(rb"\\u0000|[0-9]{16}")


def suspicious(data: bytes) -> bool:
    """Whether *data* might hold a forbidden value; nearly always not, and then nothing else is looked at."""
    return _SUSPICIOUS.search(data) is not None


def parse_exactly(data: bytes) -> Any:
    """*data* parsed with integers kept whole. Raises ``ValueError`` for what is no JSON (NaN is none)."""
    return json.loads(data.decode("utf-8"), parse_constant=_refuse, parse_float=_finite)


def forbidden(value: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Path and complaint for each forbidden value in *value*."""
    stack: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while stack:
        path, item = stack.pop()
        if isinstance(item, str):
            complaint = _string(item)
            if complaint is not None:
                yield path, complaint
        elif isinstance(item, int) and not isinstance(item, bool):
            if abs(item) > MAX_INTEGER:
                yield path, f"an integer must be within ±2^53 ({MAX_INTEGER})"
        elif isinstance(item, dict):
            for key, inner in item.items():
                complaint = _string(key)
                if complaint is not None:
                    yield path, f"in the name of a field, {complaint}"
                stack.append(((*path, key), inner))
        elif isinstance(item, list):
            stack += [((*path, index), inner) for index, inner in enumerate(item)]


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
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:20]} is too large")
    return number
