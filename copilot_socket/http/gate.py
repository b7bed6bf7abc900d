"""Access to the HTTP port: by bearer token, or from this machine only if no token is set."""

import hmac
import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv6Address, ip_address

import attrs

from copilot_socket.core.actors import STRANGER, Actor
from copilot_socket.http.messages import Problem

WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
VARIABLE = "COPILOT_HTTP_TOKEN"
_FROM_HERE = frozenset({"same-origin", "none"})
"""Values of ``Sec-Fetch-Site``: a page of ours; the user's own doing."""


@attrs.frozen
class RequestHead:
    """A request before its body is read. ``headers``: all values of each, by lower-case name."""

    method: str
    peer: str | None
    """The client's address; None if the transport has none."""
    headers: Mapping[str, Sequence[str]]

    def one(self, name: str) -> str | None:
        """The value of the header *name*; None unless it was sent exactly once."""
        values = self.headers.get(name, ())
        return values[0] if len(values) == 1 else None


@attrs.frozen
class Gate:
    """Checks access. With *token* set every request needs it; without, only loopback is served."""

    token: str | None = attrs.field(repr=False)
    origins: frozenset[str] = frozenset()
    """Origins whose pages may write, besides the server's own."""

    def admit(self, head: RequestHead) -> Actor:
        """Who sent *head*. Raises :class:`Problem` where it is refused."""
        refused = self._of_token(head) if self.token is not None else _of_loopback(head)
        problem = refused or self._of_origin(head)
        if problem is not None:
            raise problem
        return Actor(f"token:{VARIABLE}" if self.token is not None else STRANGER, head.peer)

    def _of_token(self, head: RequestHead) -> Problem | None:
        scheme, _, given = (head.one("authorization") or "").partition(" ")
        expected = (self.token or "").encode()
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("utf-8", "replace"), expected):
            return None
        return Problem(
            401,
            f"Bearer token required ({VARIABLE})",
            headers={"WWW-Authenticate": 'Bearer realm="copilot-socket"'},
        )

    def _of_origin(self, head: RequestHead) -> Problem | None:
        """Refuse writes from pages of other origins: browsers say which it is, or at least that it is another one.

        https://www.w3.org/TR/fetch-metadata/
        """
        if head.method not in WRITING:
            return None
        if "origin" not in head.headers:
            elsewhere = set(head.headers.get("sec-fetch-site", ())).difference(_FROM_HERE)
            return Problem(403, "Cross-site request refused") if elsewhere else None
        host, origin = head.one("host"), (head.one("origin") or "").lower()
        ours = host is not None and origin in (f"http://{host}".lower(), f"https://{host}".lower())
        if ours or origin in self.origins:
            return None
        return Problem(403, "Cross-origin request refused; SOCKET_ALLOWED_ORIGINS lists the origins that may write")


def _of_loopback(head: RequestHead) -> Problem | None:
    # Behind a proxy on this machine every client looks local; with DNS rebinding any host name has our address.
    proxied = any(name == "forwarded" or name.startswith("x-forwarded-") for name in head.headers)
    if not proxied and _is_loopback(head.peer) and _is_loopback(host_name(head.one("host"))):
        return None
    return Problem(
        403,
        f"Only requests from this machine are served while {VARIABLE} is unset, under a loopback host name and "
        f"without a proxy; set {VARIABLE} and send it as a bearer token",
    )


def host_name(host: str | None) -> str | None:
    """The name or address in a Host header, without port and brackets; None if it is malformed."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/@\s]+))(?::[0-9]{0,5})?", host or "")
    return found and (found[1] or found[2])


def _is_loopback(name: str | None) -> bool:
    if name is None:
        return False
    try:
        address = ip_address(name)
    except ValueError:
        return name.lower() == "localhost"
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback
