"""Headers of every answer of the HTTP port, whoever writes it."""

from twisted.web import http

SERVER = b"copilot-socket"
SECURITY = (
    (b"Cache-Control", b"no-store"),
    (b"Content-Security-Policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"X-Content-Type-Options", b"nosniff"),
)
"""An answer is data, for the client alone."""


def common_headers(now: float) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of an answer that is sent at *now*, in seconds since 1970."""
    return ((b"Server", SERVER), (b"Date", http.datetimeToString(now)), *SECURITY)
