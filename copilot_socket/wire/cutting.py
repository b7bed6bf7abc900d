"""Cuts the JSON text of an object or a list into its parts without parsing these. No reactor.

The text may have any size and depth: the work is linear in its length and divided into small steps. Strings and
scalars are validated; of nested objects and lists only strings and brackets are followed.
"""

import re
from collections.abc import Generator, Iterator

from copilot_socket.wire.levels import nesting, outside_strings, whole_escapes

Part = tuple[bytes, int, int, int]
"""Name as written, with its quotes (empty for an element); begin and end in the text; levels of nesting in it."""

_NEAR = 2048
"""Bytes in which the end of an object or a list is searched bracket by bracket."""
_STRIDE = 1 << 15
"""Bytes of each further step of that search, which counts all brackets of a step together."""

# When a possessive group fails halfway, Python 3.11.2 continues in the middle of it (gh-100061). So none of these can
# fail halfway: the first character decides, and a string that is cut off extends to the end of the text.
_SPACE = rb"[ \t\r\n]*+"
_STRING = rb'"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+"'
_NUMBER = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?"
_SCALAR = rb"(" + _STRING + rb"|" + _NUMBER + rb"|true|false|null)"
_FIELD = re.compile(
    _SPACE + rb"(" + _STRING + rb")" + _SPACE + rb":" + _SPACE + rb"(?:" + _SCALAR + _SPACE + rb"([,}]))?", re.DOTALL
)
_ELEMENT = re.compile(rb"()" + _SPACE + rb"(?:" + _SCALAR + _SPACE + rb"([,\]]))?", re.DOTALL)
"""Both include the separator behind a scalar; the end of an object or a list must be found first."""
_BEHIND = re.compile(_SPACE + rb"([,}\]])")
_END = re.compile(_SPACE + rb"([}\]])")
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)[^"{}\[\]]*+)*+([{}\[\]])', re.DOTALL)
"""Skips to the next bracket outside strings."""
_OPENING = b"{["


class NotJson(ValueError):
    """A text is not valid JSON."""


def fields(text: bytes, begin: int, end: int) -> Iterator[Part | None]:
    """The fields of the object in ``text[begin:end]``; yields None between them where the caller may pause.

    Raises :class:`NotJson`.
    """
    return _parts(text, begin, end, _FIELD)


def elements(text: bytes, begin: int, end: int) -> Iterator[Part | None]:
    """The elements of the list in ``text[begin:end]``; otherwise as :func:`fields`."""
    return _parts(text, begin, end, _ELEMENT)


def _parts(text: bytes, begin: int, end: int, part: re.Pattern[bytes]) -> Iterator[Part | None]:
    closing = b"}" if part is _FIELD else b"]"
    at = begin + 1
    if (empty := _END.match(text, at, end)) is not None:
        if empty[1] != closing or empty.end() != end:
            raise _unexpected(at)
        return
    behind = b","
    while behind == b",":
        found = part.match(text, at, end)
        if found is None:
            raise _unexpected(at)
        if found[2] is not None:
            yield found[1], *found.span(2), 0
            at, behind = found.end(), found[3]
            continue
        inner = found.end()
        at, levels = yield from _follow(text, inner, end)
        yield found[1], inner, at, levels
        after = _BEHIND.match(text, at, end)
        if after is None:
            raise _unexpected(at)
        at, behind = after.end(), after[1]
    if at != end or behind != closing:
        raise _unexpected(at)


def _follow(text: bytes, at: int, end: int) -> Generator[None, None, tuple[int, int]]:
    """The end of the object or list that begins at *at*, and its levels of nesting. Yields where it may pause."""
    if at >= end or text[at] not in _OPENING:
        raise _unexpected(at)
    at, depth, deepest = _walk(text, at, min(end, at + _NEAR), 0, 0)
    if not depth:
        return at, deepest
    in_string = False
    while True:
        stretch = whole_escapes(text[at : min(at + _STRIDE, end)])
        outside = outside_strings(stretch, in_string)
        if not stretch or outside is None:
            raise _unexpected(at)
        ended, begun, peak = nesting(outside[0])
        if ended >= depth:
            break
        deepest = max(deepest, depth + peak)
        depth += begun - ended
        in_string = outside[1]
        at += len(stretch)
        yield
    if in_string and (rest := _REST_OF_STRING.match(text, at, end)) is not None:
        at = rest.end()
    at, depth, deepest = _walk(text, at, end, depth, deepest)
    if depth:
        raise _unexpected(at)
    return at, deepest


def _walk(text: bytes, at: int, end: int, depth: int, deepest: int) -> tuple[int, int, int]:
    """Follow brackets to the end of the outermost, or to *end*. Returns position, open brackets, greatest depth."""
    while (bracket := _BRACKET.match(text, at, end)) is not None:
        at = bracket.end()
        if text[at - 1] in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
            if not depth:
                break
    return at, depth, deepest


def _unexpected(at: int) -> NotJson:
    return NotJson(f"unexpected byte at {at}")
