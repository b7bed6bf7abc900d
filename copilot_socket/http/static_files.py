"""Files that are answered as they are: read, compressed and tagged once."""

import zlib
from collections.abc import Mapping

import attrs

from copilot_socket.http.compression import GZIP
from copilot_socket.http.conditions import tagged
from copilot_socket.http.messages import Call, Reply

_BEST = 9
"""The level of compression, which is paid once."""


@attrs.frozen
class StaticFile:
    """A file, and the *headers* that it is answered with."""

    content: bytes
    content_type: bytes
    headers: Mapping[str, str] = attrs.field(factory=dict)
    gzip: bytes = attrs.field(init=False)

    @gzip.default
    def _compress(self) -> bytes:
        return zlib.compress(self.content, _BEST, GZIP)

    def answer(self, call: Call) -> Reply:
        """The file, or 304. Clients keep it, and ask each time: the node may be of a newer version now."""
        answer = tagged(call, Reply(200, self.content, self.content_type, gzip=self.gzip))
        assert isinstance(answer, Reply)
        return attrs.evolve(answer, headers={**answer.headers, "Cache-Control": "no-cache", **self.headers})
