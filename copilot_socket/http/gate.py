"""Access to the port: by bearer token, or, where none is set, from this machine only."""

import hmac
import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv6Address, ip_address

import attrs

from copilot_socket.http.messages import Problem

WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
VARIABLE = "COPILOT_HTTP_TOKEN"


@attrs.frozen
class Knock:
    """What is known of a request before its body is read. ``headers`` by lower-case name, every value."""

    method: str
    peer: str | None
    """The address at the other end; None where it has none."""
    headers: Mapping[str, Sequence[str]]

    def one(self, name: str) -> str | None:
        """The header *name* if it came exactly once."""
        values = self.headers.get(name, ())
        return values[0] if len(values) == 1 else None


@attrs.frozen
class Gate:
    """With *token* set every request needs it; without, only loopback is served."""

    token: str | None = attrs.field(repr=False)
    origins: frozenset[str] = frozenset()
    """Origins whose pages may write, beside our own."""

    def check(self, knock: Knock) -> Problem | None:
        """Why *knock* is refused; None if it is not."""
        refused = self._of_token(knock) if self.token is not None else _of_loopback(knock)
        return refused or self._of_origin(knock)

    def _of_token(self, knock: Knock) -> Problem | None:
        scheme, _, given = (knock.one("authorization") or "").partition(" ")
        expected = (self.token or "").encode()
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("utf-8", "replace"), expected):
            return None
        return Problem(
            401,
            f"Bearer token required ({VARIABLE})",
            headers={"WWW-Authenticate": 'Bearer realm="copilot-socket"'},
        )

    def _of_origin(self, knock: Knock) -> Problem | None:
        """A browser names the origin of the page that makes it write; only ours and those in *origins* may."""
        if knock.method not in WRITING or "origin" not in knock.headers:
            return None
        host, origin = knock.one("host"), (knock.one("origin") or "").lower()
        ours = host is not None and origin in (f"http://{host}".lower(), f"https://{host}".lower())
        if ours or origin in self.origins:
            return None
        return Problem(403, "Cross-origin request refused; SOCKET_ALLOWED_ORIGINS lists the origins that may write")


def _of_loopback(knock: Knock) -> Problem | None:
    # A proxy on this machine makes every client look local, and DNS rebinding gives any name our address.
    proxied = any(name == "forwarded" or name.startswith("x-forwarded-") for name in knock.headers)
    if not proxied and _is_loopback(knock.peer) and _is_loopback(host_name(knock.one("host"))):
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
