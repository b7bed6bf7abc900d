"""Request targets (RFC 9112, section 3.2)."""

import re

import attrs

from copilot_socket.http.messages import Problem

_ABSOLUTE = re.compile(r"https?://([^/?#@\s]+)(/[^?]*)?(?:\?(.*))?", re.IGNORECASE | re.DOTALL)


@attrs.frozen
class Target:
    """*path* is percent-encoded, or ``*`` for the server itself; *query* has no ``?``.

    *host* is that of the absolute form, which replaces the Host header; else None.
    """

    path: str
    query: str
    host: str | None = None


def target(method: str, uri: str) -> Target:
    """The target in the request line's *uri*. Raises :class:`Problem` 400."""
    if uri.startswith("/"):
        path, _, query = uri.partition("?")
        return Target(path, query)
    if uri == "*" and method == "OPTIONS":
        return Target(uri, "")
    found = _ABSOLUTE.fullmatch(uri)
    if found is None:
        raise Problem(400, "Request target must be a path or an http URL")
    return Target(found[2] or "/", found[3] or "", found[1])
