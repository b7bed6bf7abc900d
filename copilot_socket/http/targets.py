"""What a request is for: the forms of its target (RFC 9112, 3.2)."""

import re

import attrs

from copilot_socket.http.messages import Problem

_ABSOLUTE = re.compile(r"https?://([^/?#@\s]+)(/[^?]*)?(?:\?(.*))?", re.IGNORECASE | re.DOTALL)


@attrs.frozen
class Target:
    """*path* is percent-encoded, and ``*`` where the server itself is meant; *query* has no ``?``.

    *host* is given by the absolute form, and then counts in place of the Host header.
    """

    path: str
    query: str
    host: str | None = None


def target(method: str, uri: str) -> Target:
    """What *uri* of the request line says. Raises :class:`Problem` 400."""
    if uri.startswith("/"):
        path, _, query = uri.partition("?")
        return Target(path, query)
    if uri == "*" and method == "OPTIONS":
        return Target(uri, "")
    found = _ABSOLUTE.fullmatch(uri)
    if found is None:
        raise Problem(400, "Request target must be a path or an http URL")
    return Target(found[2] or "/", found[3] or "", found[1])
