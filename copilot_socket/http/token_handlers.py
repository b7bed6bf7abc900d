"""Tokens of the HTTP API, and browsers' sessions (docs/http.md, "Access")."""

from collections.abc import Callable
from typing import Annotated, Any

import attrs

from copilot_socket.core.access import CONFIGURED, ROLES, Grant, Role, Within
from copilot_socket.core.describing import Time, doc
from copilot_socket.http.access import Access
from copilot_socket.http.answers import list_of, page
from copilot_socket.http.bodies import refuse_past
from copilot_socket.http.checks import Check, listed, matching, one_of, short_name, text, timestamp
from copilot_socket.http.endpoints import endpoint
from copilot_socket.http.gate import COOKIE, bearer_in, session_in
from copilot_socket.http.messages import Call, Problem, Reply, invalid, reply
from copilot_socket.http.queries import Listed
from copilot_socket.store import access as store
from copilot_socket.store.catalog import Catalog
from copilot_socket.store.shown.access import RoleName, Token

MOST_NAMES = 1000
"""Accounts, or users, that a token may be limited to."""


_PRINTABLE = matching("[!-~]", 100, "1 to 100 printable ASCII characters without spaces")
_Accounts = listed(text(255), MOST_NAMES, "ids")
_Users = listed(short_name, MOST_NAMES, "ids")


def _name(value: Any) -> str:
    name: str = _PRINTABLE(value)
    if name == CONFIGURED:
        raise ValueError("must be another name: acts by the node's own token are recorded under this one")
    return name


@attrs.frozen(kw_only=True)
class TokenBody:
    """A token to make."""

    name: Annotated[
        str,
        Check(_name, {**_PRINTABLE.schema, "not": {"const": CONFIGURED}}),
        doc(f"Its name, unique, and not `{CONFIGURED}`."),
    ]
    role: Annotated[str, one_of(*ROLES), doc("What it may do.")]
    accounts: Annotated[
        list[str] | None, _Accounts, doc("The accounts that it is limited to; only with the role `app`.")
    ] = None
    users: Annotated[
        list[str] | None, _Users, doc("The users whose jobs it is limited to; only with the role `app`.")
    ] = None
    expires_at: Annotated[str | None, timestamp, doc("When it expires, in the future; without it never.")] = None


@attrs.frozen(kw_only=True)
class NewToken:
    """A token that was made."""

    name: Annotated[str, doc("Its name.")]
    role: Annotated[RoleName, doc("What it may do.")]
    token: Annotated[str, doc("The token, which is shown this once.")]


@attrs.frozen(kw_only=True)
class RevokedToken:
    """A token that was revoked."""

    name: Annotated[str, doc("Its name.")]
    revoked: Annotated[bool, doc("True.")]


@attrs.frozen(kw_only=True)
class Session:
    """Who sent the request, and what it may do."""

    name: Annotated[str, doc("An actor of the audit log, as `token:grafana`.")]
    role: Annotated[RoleName, doc("What it may do.")]
    accounts: Annotated[list[str] | None, doc("The accounts that it is limited to; null: it is not.")]
    users: Annotated[list[str] | None, doc("The users whose jobs it is limited to; null: it is not.")]


@attrs.frozen(kw_only=True)
class NewSession(Session):
    """A session that has begun. Its cookie is in the header Set-Cookie."""

    expires_at: Annotated[Time, doc("When it ends, unless its token does before.")]


@attrs.frozen(kw_only=True)
class NewLink:
    """A one-time link that was made."""

    code: Annotated[str, doc("The code, which is shown this once: a bearer token that starts a session.")]
    expires_at: Annotated[Time, doc("Until when it may be used.")]


@attrs.frozen(kw_only=True)
class EndedSession:
    """A session that has ended."""

    ended: Annotated[bool, doc("True.")]


TokenList = list_of("tokens", Token)


@attrs.frozen
class TokenHandlers:
    """Handles ``/api/v1/tokens`` and ``/api/v1/session``."""

    access: Access
    catalog: Catalog
    time_of_day: Callable[[], float]

    @endpoint({200: TokenList})
    async def list_tokens(self, _call: Call, query: Listed) -> Reply:
        """Tokens by name, without the tokens themselves."""
        listing = await self.catalog.tokens(query.page)
        return page("tokens", listing)

    @endpoint({201: NewToken}, problems=(409,))
    async def add_token(self, call: Call, body: TokenBody) -> Reply:
        """Make a token, which the answer shows this once."""
        refuse_past(body.expires_at, "/expires_at", self.time_of_day())
        role, within = Role.named(body.role), Within.of(body.accounts, body.users)
        if within is not None and role is not Role.APP:
            raise invalid("/role", f"must be {Role.APP} for a token that is limited to accounts or users")
        new = store.NewToken(name=body.name, role=role, within=within, expires_at=body.expires_at)
        made = await self.access.store.add(new, call.act("token.add"))
        if made is None:
            raise Problem(409, f"There is a token with the name {new.name} already")
        await self.access.read()
        answer = reply({"name": new.name, "role": str(role), "token": made.secret}, 201)
        return attrs.evolve(answer, secret=True)

    @endpoint({200: RevokedToken})
    async def revoke_token(self, call: Call) -> Reply:
        """Remove a token; its sessions end."""
        missing = Problem(404, "No such token")
        name = call.named(_PRINTABLE, missing, "name")
        if not await self.access.store.revoke(name, call.act("token.revoke")):
            raise missing
        await self.access.read()
        return reply({"name": name, "revoked": True})

    @endpoint({200: Session})
    async def show_session(self, call: Call) -> Reply:
        """What the sender of this request may do."""
        return reply(_shown(call))

    @endpoint({201: NewSession}, problems=(409,))
    async def start_session(self, call: Call) -> Reply:
        """Give a browser a cookie in exchange for the token, or the code of a link, in the header Authorization."""
        token, act = bearer_in(call.headers.get("authorization")), call.act("session.start")
        if token is not None and self.access.accepts(token):
            made = await self.access.store.start_session(token, act)
        else:
            used = token and await self.access.store.use_link(token, self.access.book.own, act)
            if not used:
                raise Problem(409, "A session is made of a valid token: send Authorization: Bearer <token>")
            made = used
        await self.access.read()
        shown = {**_shown(call), "expires_at": made.expires_at}
        return attrs.evolve(reply(shown, 201), headers=_cookie(call, made.secret, store.SESSION_SECONDS), secret=True)

    @endpoint({201: NewLink}, problems=(409,))
    async def make_link(self, call: Call) -> Reply:
        """Make a code that gives a browser a session of who makes it: once, within five minutes, at any node."""
        grant, act = call.grant, call.act("session.link")
        assert isinstance(grant, Grant)
        given = bearer_in(call.headers.get("authorization")), session_in(call.headers.get("cookie", ""))
        token, name = self.access.token_of(grant, *given), None
        if token in (None, self.access.book.own):
            if not grant.own:  # its token was revoked just now
                raise Problem(409, "Access token is not valid any more")
            token, name = None, grant.name
        made = await self.access.store.make_link(token, name, act)
        await self.access.read()
        answer = reply({"code": made.secret, "expires_at": made.expires_at}, 201)
        return attrs.evolve(answer, secret=True)

    @endpoint({200: EndedSession}, problems=(409,))
    async def end_session(self, call: Call) -> Reply:
        """End the session of the request's cookie, and remove the cookie."""
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
