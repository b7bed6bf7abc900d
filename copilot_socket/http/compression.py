"""Answers in gzip (RFC 9110, sections 8.4 and 12.5.3), compressed in slices, so that no answer blocks the reactor.

Twisted's own encoder compresses an answer in one piece, at level 9: up to a quarter of a second for a page of 4 MiB.
"""

import re
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping

from twisted.internet.defer import DeferredSemaphore

SMALLEST = 1024
"""Bytes beyond which an answer is compressed: shorter ones are hardly shorter in gzip."""
SLICE = 64 * 1024
"""Bytes that are compressed in one slice: 0.5 ms, and 2 ms where they are random."""
LEVEL = 3
"""Of rows in JSON: a tenth of their size. Higher levels take two to three times as long for a sixth less."""
CONCURRENTLY = 2
"""Answers of more than a slice that are compressed at a time; each takes its size, and STATE."""
STATE = 300 * 1024
"""Bytes of a compressor."""
GZIP = 16 + zlib.MAX_WBITS
"""The format, for zlib."""
_WEIGHT = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)


def accepts_gzip(lines: Iterable[str]) -> bool:
    """Whether the *lines* of Accept-Encoding accept gzip, and prefer nothing to it."""
    weights = _weights(",".join(lines))
    others = weights.get("*", 0.0)
    gzip = weights.get("gzip", weights.get("x-gzip", others))
    return gzip > 0 and gzip >= weights.get("identity", others)


def _weights(header: str) -> Mapping[str, float]:
    """By the names of codings; one whose weight is malformed has none."""
    found = {}
    for element in header.lower().split(","):
        name, *parameters = (part.strip() for part in element.split(";"))
        weight = _WEIGHT.fullmatch(parameters[0]) if parameters else None
        found[name] = float(weight[1]) if weight else 0.0 if parameters else 1.0
    return found


class Compressor:
    """Compresses the answers of a site."""

    def __init__(self) -> None:
        self._large = DeferredSemaphore(CONCURRENTLY)

    async def gzip(self, body: bytes, next_slice: Callable[[], Awaitable[object]]) -> bytes:
        """*body* in gzip, the same for the same *body*. Raises what *next_slice* raises."""
        if len(body) <= SLICE:
            return zlib.compress(body, LEVEL, GZIP)
        await self._large.acquire()
        try:
            compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
            pieces = []
            for start in range(0, len(body), SLICE):
                await next_slice()
                pieces.append(compressor.compress(memoryview(body)[start : start + SLICE]))
            return b"".join([*pieces, compressor.flush()])
        finally:
            self._large.release()
