"""Nesting depth of a stretch of JSON text, from its brackets alone. No reactor."""

from itertools import accumulate

_ESCAPED = b"\0"
"""Replaces escapes that could be mistaken for quotes or backslashes; valid JSON has no NUL byte."""
_STEPS = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")
"""Brackets to +1 and -1, as signed bytes."""
_OTHERS = bytes(set(range(256)) - set(b"{}[]"))


def nesting(stretch: bytes) -> tuple[int, int, int]:
    """Levels that *stretch* closes, levels that it then opens, and its greatest depth relative to its beginning.

    Every bracket counts, also those in strings (:func:`outside_strings` removes these). Linear in the length of
    *stretch*, whatever its nesting.
    """
    depths = list(accumulate(memoryview(stretch.translate(_STEPS, _OTHERS)).cast("b"), initial=0))
    ended = -min(depths)
    return ended, depths[-1] + ended, max(depths)


def outside_strings(stretch: bytes, in_string: bool) -> tuple[bytes, bool] | None:
    """The bytes of *stretch* outside strings, and whether it ends inside one; *in_string*: it begins inside one.

    *stretch* must not end with a backslash that escapes the next byte. None if a backslash or a NUL byte stands
    outside strings: that is not JSON, and escaped quotes can't be told from others.
    """
    if b"\\" in stretch:
        stretch = stretch.replace(b"\\\\", _ESCAPED).replace(b'\\"', _ESCAPED)
    parts = stretch.split(b'"')
    outside = b"".join(parts[in_string::2])
    if b"\\" in outside or _ESCAPED in outside:
        return None
    return outside, in_string ^ (len(parts) % 2 == 0)


def whole_escapes(stretch: bytes) -> bytes:
    """*stretch* without a final backslash whose escaped character has not arrived yet."""
    return stretch[:-1] if (len(stretch) - len(stretch.rstrip(b"\\"))) % 2 else stretch
