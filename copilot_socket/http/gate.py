"""Access to the HTTP port (docs/http.md, "Access"): who sent a request, and whether it may go on."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv6Address, ip_address

import attrs

from copilot_socket.core.access import Grant, Role, TokenBook
from copilot_socket.core.actors import STRANGER, Actor
from copilot_socket.core.rate import WRONG_SECONDS, WRONG_TOKENS, Rates, client_of
from copilot_socket.event_bus import Refused
from copilot_socket.http.messages import Problem
from copilot_socket.http.routes import Route

COOKIE = "copilot_session"
WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_READING = frozenset({"GET", "HEAD", "OPTIONS", ""})
_FROM_HERE = frozenset({"same-origin", "none"})
"""Values of ``Sec-Fetch-Site``: a page of ours; the user's own doing."""
FILES = 10
"""Requests for files of the dashboard count this much less: one visit to a page asks for some forty at once."""
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="copilot-socket"'}


@attrs.frozen
class RequestHead:
    """A request before its body is read. ``headers``: all values of each, by lower-case name."""

    method: str
    peer: str | None
    """The client's address; None if the transport has none."""
    headers: Mapping[str, Sequence[str]]
    uid: int | None = None
    """The user at the other end of ``http.sock``; None for any other transport."""

    def one(self, name: str) -> str | None:
        """The value of the header *name*; None unless it was sent exactly once."""
        values = self.headers.get(name, ())
        return values[0] if len(values) == 1 else None

    @property
    def forwarded(self) -> bool:
        """Whether a proxy sent it on."""
        return any(name == "forwarded" or name.startswith("x-forwarded-") for name in self.headers)

    @property
    def local(self) -> bool:
        """Whether it comes from this machine: not by a proxy on it, nor under a host name that was pointed at it."""
        if self.uid is not None:
            return True
        return not self.forwarded and _is_loopback(self.peer) and _is_loopback(host_name(self.one("host")))

    @property
    def client(self) -> str:
        """The client's address, for limits and records; behind a proxy on this machine the one that it names."""
        lines = self.headers.get("x-forwarded-for") or ("",)
        forwarded = lines[-1].rpartition(",")[2].strip()
        given = forwarded if forwarded and _is_loopback(self.peer) else self.peer or "local"
        try:
            return client_of(given)
        except ValueError:
            return given if given == self.peer else self.peer or "local"


@attrs.frozen
class Visitor:
    """Who sent a request. ``grant`` is None for a stranger."""

    actor: Actor
    grant: Grant | None = None
    wrong: bool = False
    """Whether it carries a token that is none of ours."""
    unread: bool = False
    """Whether it carries a token or a session that may be one of ours: those of the database are not read yet."""
    by_cookie: bool = False
    """Whether it is known by a cookie, which browsers send with whatever a page asks for."""
    by_code: bool = False
    """Whether it is known by the code of a one-time link, which only starts a session."""


class Gate:
    """Decides on access. *uids*: users who need no token on ``http.sock``; *rate*: requests of strangers a second.

    *publish* is called with each refusal; *now* returns the seconds of a monotonic clock.
    """

    def __init__(
        self,
        book: TokenBook,
        uids: frozenset[int],
        origins: frozenset[str],
        rate: int,
        publish: Callable[[Refused], None],
        now: Callable[[], float],
    ) -> None:
        self._book = book
        self._uids = uids
        self._origins = origins
        self._strangers = Rates(rate)
        self._files = Rates(rate * FILES)
        self._wrong = Rates(WRONG_TOKENS, WRONG_SECONDS)
        self._publish = publish
        self._now = now

    def visitor(self, head: RequestHead) -> Visitor:
        """Who sent *head*."""
        if head.uid in self._uids:
            name = f"uid:{head.uid}"
            return Visitor(Actor(name, "http.sock"), Grant(name, Role.ADMIN))
        client = Actor(STRANGER, head.client if head.uid is None else f"uid:{head.uid} on http.sock")
        now = self._now()
        token = bearer_in(head.one("authorization") or "") if "authorization" in head.headers else None
        session = session_in(head.one("cookie") or "")
        if token is not None:
            grant = self._book.find(token, now)
            link = self._book.find_link(token, now) if grant is None else None
            if link is not None:
                return Visitor(Actor(link.name, client.address), link, by_code=True)
        elif session is not None:
            grant = self._book.find_session(session, now)
        else:
            return Visitor(client)
        if grant is None:
            return Visitor(client, wrong=token is not None, unread=not self._book.read)
        return Visitor(Actor(grant.name, client.address), grant, by_cookie=token is None)

    def at(self, visitor: Visitor, route: Route | None) -> Visitor:
        """*visitor* as *route* knows them: the code of a link is a wrong token wherever it starts no session."""
        if not visitor.by_code or (route is not None and route.by_code):
            return visitor
        return Visitor(Actor(STRANGER, visitor.actor.address), wrong=True)

    def count(self, head: RequestHead, visitor: Visitor, route: Route | None) -> None:
        """Count a request; those with a good token are not counted. Raises :class:`Problem` 429 over the limit.

        Open routes are counted apart: a flood of other requests must not keep probes of the node's health out.
        """
        if visitor.grant is not None:
            return
        now, client = self._now(), visitor.actor.address or ""
        if route is not None and route.needs is None:
            client += " open"
        rates = self._files if route is not None and route.file else self._strangers
        wait = rates.wait(client, now)
        if wait:
            raise self._refuse(head, visitor, route, "rate_limited", _too_many("requests without a token", wait))
        rates.count(client, now)

    def admit(self, head: RequestHead, visitor: Visitor, route: Route | None) -> None:
        """Let *visitor* use *route*, or with None learn that there is none. Raises :class:`Problem` where refused."""
        needs = Role.READ if route is None else route.needs
        if needs is None or (route is not None and route.local and head.local):
            return
        grant = visitor.grant
        if grant is None:
            raise self._stranger(head, visitor, route)
        if grant.role < needs:
            text = f"{grant.name} has the role {grant.role}; this needs {needs}"
            raise self._refuse(head, visitor, route, "role", Problem(403, text))
        if grant.within is not None and route is not None and not route.within:
            text = f"{grant.name} is limited to certain accounts or users; this is not"
            raise self._refuse(head, visitor, route, "scope", Problem(403, text))
        problem = self._of_origin(head, visitor)
        if problem is not None:
            raise self._refuse(head, visitor, route, "origin", problem)

    def out_of_scope(self, head: RequestHead, visitor: Visitor, route: Route, problem: Problem) -> Problem:
        """A handler has refused, by *problem*, what is not within *visitor*'s limits."""
        return self._refuse(head, visitor, route, "scope", problem)

    def _stranger(self, head: RequestHead, visitor: Visitor, route: Route | None) -> Problem:
        if visitor.unread:
            busy = "Tokens and sessions are not read from the database yet; try again later"
            return Problem(503, busy, headers={"Retry-After": "1"})
        if not visitor.wrong:
            text = "Access token required: Authorization: Bearer <token>"
            problem = Problem(401, text, headers=_CHALLENGE)
            if route is not None and route.personal:
                return problem  # who asks who one is attempts nothing: browsers do before somebody signs in
            return self._refuse(head, visitor, route, "no_token", problem)
        now, client = self._now(), visitor.actor.address or ""
        wait = self._wrong.wait(client, now)
        if wait:
            return self._refuse(head, visitor, route, "too_many_wrong_tokens", _too_many("wrong tokens", wait))
        self._wrong.count(client, now)
        problem = Problem(401, "Access token is wrong, revoked or expired", headers=_CHALLENGE)
        return self._refuse(head, visitor, route, "wrong_token", problem)

    def _refuse(
        self, head: RequestHead, visitor: Visitor, route: Route | None, reason: str, problem: Problem
    ) -> Problem:
        method = head.method if head.method in WRITING | _READING else "unknown method"
        what = method if route is None else f"{route.method} {route.pattern}"
        self._publish(Refused("http", reason, visitor.actor.name, visitor.actor.address, what))
        return problem

    def _of_origin(self, head: RequestHead, visitor: Visitor) -> Problem | None:
        """Refuse writes from pages of other origins: browsers say which it is, or at least that it is another one.

        A request that is known by its cookie must say that it comes from a page of ours.
        https://www.w3.org/TR/fetch-metadata/
        """
        if head.method not in WRITING:
            return None
        if _of_own_page(head):
            return None
        if visitor.by_cookie:
            text = "Cross-site request refused: by a session only pages of this server write (Origin, Sec-Fetch-Site)"
            return Problem(403, text)
        if "origin" not in head.headers:
            sites = set(head.headers.get("sec-fetch-site", ()))
            return None if sites <= _FROM_HERE else Problem(403, "Cross-site request refused")
        if (head.one("origin") or "").lower() in self._origins:
            return None
        return Problem(403, "Cross-origin request refused; SOCKET_ALLOWED_ORIGINS lists the origins that may write")


def _of_own_page(head: RequestHead) -> bool:
    """Whether *head* shows that a page of this server sent it."""
    if "origin" not in head.headers:
        return set(head.headers.get("sec-fetch-site", ())) == {"same-origin"}
    host, origin = head.one("host"), (head.one("origin") or "").lower()
    return host is not None and origin in (f"http://{host}".lower(), f"https://{host}".lower())


def bearer_in(header: str | None) -> str | None:
    """The token in an Authorization header; an empty one for another scheme, None without the header."""
    if header is None:
        return None
    scheme, _, given = header.partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def session_in(header: str) -> str | None:
    """The session in a Cookie header; None without one."""
    pairs = (pair.strip().partition("=") for pair in header.split(";"))
    return next((value for name, _, value in pairs if name == COOKIE), None)


def _too_many(what: str, wait: float) -> Problem:
    seconds = math.ceil(wait)
    return Problem(429, f"Too many {what}; try again in {seconds} s", headers={"Retry-After": str(seconds)})


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
