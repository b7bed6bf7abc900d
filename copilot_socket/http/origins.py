"""Cross-origin requests from browsers: SOCKET_ALLOWED_ORIGINS (CORS, in the Fetch standard).

Pages need the same access as any other client; credentials such as cookies are not allowed.
"""

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from copilot_socket.http.gate import RequestHead
from copilot_socket.http.messages import Reply

ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID"
EXPOSED_HEADERS = "Allow, ETag, Idempotency-Replayed, Retry-After, WWW-Authenticate"
"""Response headers that pages may read besides the CORS-safelisted ones."""
MAX_AGE = "600"
"""Seconds for which a browser may cache the answer to a preflight."""
_NONE: Mapping[str, str] = MappingProxyType({})


@attrs.frozen
class Origins:
    """The origins in *allowed*, as browsers write them: scheme, host, and the port if it is not the scheme's own."""

    allowed: frozenset[str] = frozenset()

    def headers(self, head: RequestHead) -> Mapping[str, str]:
        """CORS headers for every answer to *head*; ``Vary``, since they differ between origins."""
        if not self.allowed:
            return _NONE
        origin = self._of(head)
        if origin is None:
            return {"Vary": "Origin"}
        return {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": EXPOSED_HEADERS,
        }

    def preflight(self, head: RequestHead) -> Reply | None:
        """The answer to a CORS preflight from an allowed origin; None for any other request."""
        is_preflight = head.method == "OPTIONS" and "access-control-request-method" in head.headers
        if not is_preflight or self._of(head) is None:
            return None
        return Reply(
            204,
            b"",
            headers={
                "Access-Control-Allow-Methods": ALLOWED_METHODS,
                "Access-Control-Allow-Headers": ALLOWED_HEADERS,
                "Access-Control-Max-Age": MAX_AGE,
            },
        )

    def _of(self, head: RequestHead) -> str | None:
        origin = head.one("origin")
        return origin if origin in self.allowed else None
