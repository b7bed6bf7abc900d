"""Cross-origin requests from browsers: SOCKET_ALLOWED_ORIGINS (CORS, in the Fetch standard).

A page needs the same access as any other client; no cookie of its user is sent along.
"""

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from copilot_socket.http.gate import Knock
from copilot_socket.http.messages import Reply

METHODS = "GET, HEAD, POST, PUT"
HEADERS = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"
SHOWN = "Allow, Retry-After, WWW-Authenticate"
"""Headers of an answer that a page may read beyond those that it always may."""
REMEMBERED = "600"
"""Seconds for which a browser need not ask again."""
_NONE: Mapping[str, str] = MappingProxyType({})


@attrs.frozen
class Origins:
    """The origins in *allowed*, as browsers write them: scheme, host, and the port if it is not the scheme's own."""

    allowed: frozenset[str] = frozenset()

    def headers(self, knock: Knock) -> Mapping[str, str]:
        """What goes with every answer to *knock*; it differs from origin to origin, which caches must know."""
        if not self.allowed:
            return _NONE
        origin = self._of(knock)
        if origin is None:
            return {"Vary": "Origin"}
        return {"Vary": "Origin", "Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": SHOWN}

    def preflight(self, knock: Knock) -> Reply | None:
        """The answer to a browser that asks before it sends what a page wants sent; None to anything else."""
        asks = knock.method == "OPTIONS" and "access-control-request-method" in knock.headers
        if not asks or self._of(knock) is None:
            return None
        return Reply(
            204,
            b"",
            headers={
                "Access-Control-Allow-Methods": METHODS,
                "Access-Control-Allow-Headers": HEADERS,
                "Access-Control-Max-Age": REMEMBERED,
            },
        )

    def _of(self, knock: Knock) -> str | None:
        origin = knock.one("origin")
        return origin if origin in self.allowed else None
