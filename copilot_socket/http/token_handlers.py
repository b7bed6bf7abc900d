"""Tokens of the HTTP API, and browsers' sessions (docs/http.md, "Access")."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from copilot_socket.core.access import CONFIGURED, ROLES, Grant, Role, Within
from copilot_socket.http import bodies, queries
from copilot_socket.http.access import Access
from copilot_socket.http.fields import Field, one_of, text, timestamp
from copilot_socket.http.gate import COOKIE, bearer_in, session_in
from copilot_socket.http.messages import Call, Problem, Reply, invalid, reply
from copilot_socket.store.access import SESSION_SECONDS, NewToken
from copilot_socket.store.catalog import Catalog

MOST_NAMES = 1000
"""Accounts, or users, that a token may be limited to."""
_NAME = re.compile("[!-~]{1,100}")


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("must be 1 to 100 printable ASCII characters without spaces")
    if value == CONFIGURED:
        raise ValueError("must be another name: acts by the node's own token are recorded under this one")
    return value


def _names(value: Any) -> list[str]:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_NAMES:
        raise ValueError(f"must be a list of 1 to {MOST_NAMES} ids")
    return [text(255)(each) for each in value]


TOKEN: Mapping[str, Field] = {
    "name": Field(_name, required=True),
    "role": Field(one_of(*ROLES), required=True),
    "accounts": Field(_names),
    "users": Field(_names),
    "expires_at": Field(timestamp),
}


@attrs.frozen
class TokenHandlers:
    """Handles ``/api/v1/tokens`` and ``/api/v1/session``."""

    access: Access
    catalog: Catalog
    time_of_day: Callable[[], float]

    async def list(self, call: Call) -> Reply:
        """Tokens by name, without the tokens themselves."""
        page, _ = queries.listing(call, {})
        listing = await self.catalog.tokens(page)
        return reply({"tokens": listing.rows, "next": listing.next})

    async def add(self, call: Call) -> Reply:
        """Make a token, which the answer shows this once."""
        queries.read(call, {})
        values = await bodies.read_object(call, TOKEN)
        bodies.refuse_past(values.get("expires_at"), "/expires_at", self.time_of_day())
        role, within = Role.named(values["role"]), None
        if "accounts" in values or "users" in values:
            if role is not Role.APP:
                raise invalid("/role", f"must be {Role.APP} for a token that is limited to accounts or users")
            within = Within(**{name: frozenset(values[name]) for name in ("accounts", "users") if name in values})
        new = NewToken(name=values["name"], role=role, within=within, expires_at=values.get("expires_at"))
        made = await self.access.store.add(new, call.act("token.add"))
        if made is None:
            raise Problem(409, f"There is a token with the name {new.name} already")
        await self.access.read()
        answer = reply({"name": new.name, "role": str(role), "token": made.secret}, 201)
        return attrs.evolve(answer, secret=True)

    async def revoke(self, call: Call) -> Reply:
        """Remove a token; its sessions end."""
        queries.read(call, {})
        await bodies.no_body(call)
        name = call.params["name"]
        if not _NAME.fullmatch(name) or not await self.access.store.revoke(name, call.act("token.revoke")):
            raise Problem(404, "No such token")
        await self.access.read()
        return reply({"name": name, "revoked": True})

    async def show_session(self, call: Call) -> Reply:
        """What the sender of this request may do."""
        queries.read(call, {})
        return reply(_shown(call))

    async def start_session(self, call: Call) -> Reply:
        """Give a browser a cookie in exchange for the token in the header Authorization."""
        queries.read(call, {})
        await bodies.no_body(call)
        token = bearer_in(call.headers.get("authorization"))
        if token is None or not self.access.accepts(token):
            raise Problem(409, "A session is made of a valid token: send Authorization: Bearer <token>")
        made = await self.access.store.start_session(token, call.act("session.start"))
        await self.access.read()
        shown = {**_shown(call), "expires_at": made.expires_at}
        return attrs.evolve(reply(shown, 201), headers=_cookie(call, made.secret, SESSION_SECONDS), secret=True)

    async def end_session(self, call: Call) -> Reply:
        """End the session of the request's cookie, and remove the cookie."""
        queries.read(call, {})
        await bodies.no_body(call)
        secret = session_in(call.headers.get("cookie", ""))
        if secret is None:
            raise Problem(409, "The request has no session")
        await self.access.store.end_session(secret, call.act("session.end"))
        await self.access.read()
        return attrs.evolve(reply({"ended": True}), headers=_cookie(call, "", 0))


def _shown(call: Call) -> dict[str, Any]:
    grant = call.grant
    assert isinstance(grant, Grant)
    within = grant.within
    return {
        "name": grant.name,
        "role": str(grant.role),
        "accounts": within and within.accounts and sorted(within.accounts),
        "users": within and within.users and sorted(within.users),
    }


def _cookie(call: Call, value: str, seconds: int) -> dict[str, str]:
    """A Set-Cookie header (RFC 6265bis); ``Secure`` where a proxy says that the client's connection is."""
    secure = "; Secure" if call.headers.get("x-forwarded-proto", "").lower() == "https" else ""
    return {"Set-Cookie": f"{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"}
