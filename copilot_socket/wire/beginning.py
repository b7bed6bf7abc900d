"""Type and references of a message that is too large or not JSON, read from its beginning alone."""

import re
from typing import Any

import orjson

from copilot_socket.core.messages import ELEMENTS, Json

KEPT = 1024
"""Bytes of such a message that are kept and examined."""
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[{}\[\]:,]', re.DOTALL)
"""A string, perhaps cut off by the end of the text, or a structural character."""
_QUOTE = ord('"')
_TYPES = {name: type_ for type_, name in ELEMENTS.items()}
"""Name of the list that only one message type has → that type."""


def beginning(text: bytes) -> Json:
    """The top-level string fields in *text*, the beginning of a message; None for one that is cut off.

    If the type comes after the data, it is inferred from the list with which the data begin. Nothing is validated.
    """
    found: dict[Any, Any] = {}
    likely = None
    name = string = None
    depth, valued = 0, False
    for match in _TOKEN.finditer(text[:KEPT]):
        token = match[0]
        if token[0] == _QUOTE:
            string = _string(token)
            if valued and depth == 1:
                found[name] = string
            valued = False
        elif token == b":":
            valued = True
            if depth == 1:
                name = string
            elif depth == 2 and name == "data":
                likely = likely or _TYPES.get(string or "")
        else:
            valued = False
            depth += (token in b"{[") - (token in b"}]")
    if likely is not None:
        found.setdefault("type", likely)
    return found


def _string(token: bytes) -> str | None:
    """The string that *token* is; None if it is cut off or invalid."""
    try:
        return str(orjson.loads(token))
    except orjson.JSONDecodeError:
        return None
