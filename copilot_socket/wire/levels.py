"""How a stretch of JSON text changes the nesting depth, seen by its brackets alone. No reactor."""

from itertools import accumulate

_ESCAPED = b"\0"
"""Stands for an escape that might mislead whoever looks for quotes; no JSON text has it."""


_STEPS = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")
"""One level more or less, as signed bytes."""
_OTHERS = bytes(set(range(256)) - set(b"{}[]"))


def nesting(stretch: bytes) -> tuple[int, int, int]:
    """How many levels *stretch* ends of those it begins in, how many it then begins, and how deep it leads.

    The last one is relative to where it begins. Every bracket counts, also those in strings
    (:func:`outside_strings` takes these out). Linear in the length of *stretch*, however it is nested.
    """
    depths = list(accumulate(memoryview(stretch.translate(_STEPS, _OTHERS)).cast("b"), initial=0))
    ended = -min(depths)
    return ended, depths[-1] + ended, max(depths)


def outside_strings(stretch: bytes, in_string: bool) -> tuple[bytes, bool] | None:
    """What of *stretch* is outside of strings, and whether it ends inside one; *in_string*: it begins inside one.

    *stretch* must not end with a backslash that escapes what follows. None where a backslash, or a NUL byte, stands
    outside of strings: that is no JSON, and quotes can't be told apart here.
    """
    if b"\\" in stretch:
        stretch = stretch.replace(b"\\\\", _ESCAPED).replace(b'\\"', _ESCAPED)
    parts = stretch.split(b'"')
    outside = b"".join(parts[in_string::2])
    if b"\\" in outside or _ESCAPED in outside:
        return None
    return outside, in_string ^ (len(parts) % 2 == 0)


def whole_escapes(stretch: bytes) -> bytes:
    """*stretch* without a last backslash whose escaped character has not come yet."""
    return stretch[:-1] if (len(stretch) - len(stretch.rstrip(b"\\"))) % 2 else stretch
