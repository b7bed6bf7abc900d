"""What a stretch of bytes does to the depth of the objects it is in, by its braces alone. No reactor."""

_OTHERS = bytes(set(range(256)) - set(b"{}"))
_MOST = 32
"""Levels that a stretch may have within itself."""


def levels(stretch: bytes) -> tuple[int, int] | None:
    """How many levels *stretch* ends of those it begins in, and how many it then begins; None where that is costly.

    Every brace counts: whoever knows strings leaves them out.
    """
    braces = stretch.translate(None, _OTHERS)
    for _ in range(_MOST):
        if b"{}" not in braces:
            ended = braces.count(b"}")
            return ended, len(braces) - ended
        braces = braces.replace(b"{}", b"")
    return None
