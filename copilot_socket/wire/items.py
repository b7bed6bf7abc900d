"""What the framer finds in the bytes that come."""

from typing import Any

import attrs

from copilot_socket.core.records import record

LARGE = 1 << 17
"""Bytes of a message up to which it is parsed in one go."""
MAX_SKIP = 16
"""Times the limit that a message which is too large is skipped, before its connection is given up."""


@record
class Document:
    """A complete object, perhaps with white space around it; ``value`` is it parsed, where that is known already.

    ``screened``: it is known that nothing in it is suspicious (:mod:`copilot_socket.wire.screening`).
    """

    data: bytes
    value: dict[str, Any] | None = None
    screened: bool = False


@attrs.frozen
class Broken:
    """Something that is no complete object. ``beginning``: its first bytes, where it began as one."""

    reason: str
    beginning: bytes = b""


@attrs.frozen
class TooLarge:
    """An object past the limit; told once, the rest of it is skipped.

    ``size``: how many bytes of it have come so far. ``beginning``: the first of them.
    """

    size: int
    beginning: bytes


@attrs.frozen
class Overrun:
    """And it went on far past the limit: the connection should be closed."""


Item = Document | Broken | TooLarge | Overrun
