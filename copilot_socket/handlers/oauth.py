"""The refresh-token grant (RFC 6749, section 6) at GitLab: the request, and the meaning of each answer."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeGuard

import attrs
from twisted.internet.threads import deferToThread

from copilot_socket.core.origins import origin, token_endpoint
from copilot_socket.handlers.answers import Answer, NoAnswer
from copilot_socket.store.oauth_clients import OAuthClients

SHORTEST_LIFETIME = 60.0
LONGEST_LIFETIME = 365 * 86400.0

_TOKEN = re.compile("[!-~]{1,8192}")
_REFUSED = "invalid_grant"
_ERRORS: Mapping[str, str] = {
    "invalid_client": "GitLab does not accept this server's OAuth client: see GITLAB_CLIENT_ID and oauth_clients",
    "unauthorized_client": "GitLab does not let this server's OAuth client refresh tokens",
    "invalid_request": "GitLab does not understand the request for a new token",
    "invalid_scope": "GitLab does not give the scope of this token any more",
    "unsupported_grant_type": "GitLab does not refresh tokens",
    "access_denied": "GitLab denies access",
    "server_error": "GitLab has failed",
    "temporarily_unavailable": "GitLab is overloaded",
}
"""Error codes → texts to show. An answer's own text is never shown."""


class Refused(Exception):
    """No new token for this account until someone renews its credential. The message says why, without a token."""


class Unavailable(Exception):
    """No new token for now. The message says why, without a token.

    ``retry_after``: seconds before another request is worthwhile, None where that is not known.
    """

    def __init__(self, why: str, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


@attrs.frozen
class Pair:
    """New tokens. ``lifetime`` in seconds, None: not given. ``refresh_token`` None: the old one stays valid."""

    access_token: str = attrs.field(repr=False)
    refresh_token: str | None = attrs.field(repr=False)
    lifetime: float | None


class Grant(Protocol):
    """Exchanges a refresh token for a new pair."""

    async def refresh(self, gitlab_url: str, refresh_token: str) -> Pair:
        """The new pair. Raises :class:`Refused` or :class:`Unavailable`."""


class GitLabGrant:
    """The grant over HTTP. The secret of an OAuth client is sent only to the client's origin."""

    def __init__(self, reactor: Any, clients: OAuthClients) -> None:
        self._reactor = reactor
        self._clients = clients

    async def refresh(self, gitlab_url: str, refresh_token: str) -> Pair:
        """See :class:`Grant`. Also raises the errors of :meth:`OAuthClients.find`."""
        where = origin(gitlab_url)
        if where is None:
            raise Unavailable("the account's gitlab_url is not the URL of a GitLab")
        client = await self._clients.find(where)
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        post_form = await deferToThread(_http_client)
        try:
            answer = await post_form(
                self._reactor, token_endpoint(gitlab_url), form | (client.form() if client is not None else {})
            )
        except NoAnswer as error:
            raise Unavailable(f"GitLab {error}") from None
        return read_answer(answer)


def _http_client() -> "Callable[[Any, str, Mapping[str, str]], Awaitable[Answer]]":
    """The client, imported in a thread at the first refresh: with TLS that takes as long as a node's start."""
    from copilot_socket.handlers.posting import post_form  # noqa: PLC0415 - see above

    return post_form


def read_answer(answer: Answer) -> Pair:
    """The pair in GitLab's *answer*. Only ``invalid_grant`` means that the refresh token is invalid.

    Raises :class:`Refused` or :class:`Unavailable`.
    """
    document = _object(answer.body)
    if answer.status != 200:
        raise _problem(answer, document.get("error"))
    access, refresh = document.get("access_token"), document.get("refresh_token") or None
    if not _usable(access) or not (refresh is None or _usable(refresh)):
        raise Unavailable("GitLab's answer holds no token that can be used")
    return Pair(access, refresh, lifetime(document.get("expires_in")))


def _problem(answer: Answer, error: object) -> Exception:
    about_us = 400 <= answer.status < 500 and answer.status != 429
    if about_us and error == _REFUSED:
        return Refused(f"{_REFUSED}: the refresh token is revoked, used up or another client's")
    if about_us and isinstance(error, str) and error in _ERRORS:
        return Unavailable(f"{error}: {_ERRORS[error]}", answer.retry_after)
    redirect = ", which leads elsewhere: correct the account's gitlab_url" if 300 <= answer.status < 400 else ""
    return Unavailable(f"GitLab answered {answer.status}{redirect}", answer.retry_after)


def _object(body: bytes) -> dict[str, Any]:
    """The JSON object in *body*, or an empty one. Integers come as floats: one of them may have 5,000 digits."""
    try:
        document = json.loads(body, parse_int=float)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _usable(token: object) -> TypeGuard[str]:
    return isinstance(token, str) and _TOKEN.fullmatch(token) is not None


def lifetime(given: object) -> float | None:
    """A token's lifetime in seconds, bounded, from ``expires_in``; None unless that is a number."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return None
    try:
        seconds = float(given)
    except (ValueError, OverflowError):
        return None
    return None if seconds != seconds else min(max(seconds, SHORTEST_LIFETIME), LONGEST_LIFETIME)  # noqa: PLR0124 - NaN
