"""Cuts the JSON text of an object or a list into its parts without parsing what is in them. No reactor.

What is cut may be of any size and nested to any depth: the work is linear in its length, and comes in small steps.
Strings and scalars are checked as they are cut; of an object or a list only the brackets are.
"""

import re
from collections.abc import Generator, Iterator

from copilot_socket.wire.levels import nesting, outside_strings, whole_escapes

Part = tuple[bytes, int, int, int]
"""Its name as it is written, quotes included (empty for an element), where it begins and ends, and its levels."""

_NEAR = 2048
"""Bytes in which the end of an object or a list is looked for bracket by bracket."""
_STRIDE = 1 << 15
"""Bytes that are passed at once from there on."""

# A possessive group that fails halfway leaves Python 3.11.2 in the middle of it (gh-100061), so none of these can: it
# begins with a character that decides, and a string that the text cuts off goes to the end of the text.
_SPACE = rb"[ \t\r\n]*+"
_STRING = rb'"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+"'
_NUMBER = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?"
_SCALAR = rb"(" + _STRING + rb"|" + _NUMBER + rb"|true|false|null)"
_FIELD = re.compile(
    _SPACE + rb"(" + _STRING + rb")" + _SPACE + rb":" + _SPACE + rb"(?:" + _SCALAR + _SPACE + rb"([,}]))?", re.DOTALL
)
_ELEMENT = re.compile(rb"()" + _SPACE + rb"(?:" + _SCALAR + _SPACE + rb"([,\]]))?", re.DOTALL)
"""Both with what comes behind a string or a scalar; an object or a list has to be followed to its end first."""
_BEHIND = re.compile(_SPACE + rb"([,}\]])")
_END = re.compile(_SPACE + rb"([}\]])")
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)[^"{}\[\]]*+)*+([{}\[\]])', re.DOTALL)
"""To the next bracket outside of strings."""
_OPENING = b"{["


class NotJson(ValueError):
    """A text that is no JSON."""


def fields(text: bytes, begin: int, end: int) -> Iterator[Part | None]:
    """The fields of the object that ``text[begin:end]`` is; None now and then, where there is a good place to pause.

    Raises :class:`NotJson`.
    """
    return _parts(text, begin, end, _FIELD)


def elements(text: bytes, begin: int, end: int) -> Iterator[Part | None]:
    """The same of a list."""
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
    """The end of the object or list that begins at *at*, and how many levels it has."""
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
    """Follow brackets until as many are closed as are open: where that is, how many are still open, and the most."""
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
