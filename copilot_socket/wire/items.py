"""Items that the framer finds in the byte stream."""

from typing import Any

import attrs

from copilot_socket.core.records import record

PARSED_WHOLE = 1 << 17
"""Bytes up to which a message is parsed whole; a larger one is decoded in steps."""
MAX_SKIP = 16
"""Factor of the size limit up to which a message that is too large is skipped; beyond it the connection is closed."""


@record
class Document:
    """A complete object, perhaps with white space around it; ``value`` is its parsed form, if already parsed.

    ``screened``: it was screened and is not suspicious (:mod:`copilot_socket.wire.screening`).
    """

    data: bytes
    value: dict[str, Any] | None = None
    screened: bool = False


@attrs.frozen
class Broken:
    """Input that is not a complete object. ``beginning``: its first bytes, if it began as an object."""

    reason: str
    beginning: bytes = b""


@attrs.frozen
class TooLarge:
    """An object over the size limit; found once, the rest of it is skipped.

    ``size``: bytes of it received so far. ``beginning``: the first of them.
    """

    size: int
    beginning: bytes


@attrs.frozen
class Overrun:
    """An object over :data:`MAX_SKIP` times the size limit: the connection should be closed."""


Item = Document | Broken | TooLarge | Overrun
