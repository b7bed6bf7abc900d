"""What a message says of itself at its beginning, where nothing else of it is read: it is too large, or no JSON."""

import re
from typing import Any

import orjson

from copilot_socket.core.messages import ELEMENTS, Json

KEPT = 1024
"""Bytes of a message that is not read otherwise."""
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[{}\[\]:,]', re.DOTALL)
"""A string, which the end of the text may cut off, or what stands between strings and scalars."""
_QUOTE = ord('"')
_TYPES = {name: type_ for type_, name in ELEMENTS.items()}
"""The list of a type that can't do without it → that type."""


def beginning(text: bytes) -> Json:
    """Those fields of the message that begins like *text* which are strings, as far as they are there.

    Where the type comes behind the data, it is told by the list that these begin with. Nothing is known to be valid.
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
    """None: it is cut off, or none."""
    try:
        return str(orjson.loads(token))
    except orjson.JSONDecodeError:
        return None
