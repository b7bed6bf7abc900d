"""The refresh-token grant against GitLab (RFC 6749, section 6)."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from math import isnan
from typing import Any, Protocol

import attrs
from twisted.internet.threads import deferToThread

_TOKEN = re.compile("[!-~]{1,8192}")
"""What can be stored, and fits into a header."""
_SHORTEST, _LONGEST = 60.0, 31_536_000.0
"""Bounds of a token's lifetime: a minute and a year, in seconds."""


class Refused(Exception):
    """There will be no new token for this account until someone renews its credential."""


class Unavailable(Exception):
    """No new token could be had at the moment; later may be different."""


class NoAnswer(Exception):
    """A request brought no answer that could be read. Never holds what was sent."""


@attrs.frozen
class Pair:
    """What GitLab gave; ``lifetime`` in seconds."""

    access_token: str
    refresh_token: str | None
    lifetime: float | None


class Grant(Protocol):
    """Anything that can exchange a refresh token for a new pair."""

    async def refresh(self, gitlab_url: str, refresh_token: str) -> Pair:
        """The new pair. Raises :class:`Refused` or :class:`Unavailable`; neither message holds a token."""


class GitLabGrant:
    """The real one."""

    def __init__(self, reactor: Any, client_id: str | None, client_secret: str | None) -> None:
        self._reactor = reactor
        self._client = {
            name: value for name, value in (("client_id", client_id), ("client_secret", client_secret)) if value
        }

    async def refresh(self, gitlab_url: str, refresh_token: str) -> Pair:
        """See :class:`Grant`."""
        post_form = await deferToThread(_http_client)
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, **self._client}
        try:
            status, body = await post_form(self._reactor, gitlab_url.rstrip("/") + "/oauth/token", form)
        except NoAnswer as error:
            raise Unavailable(f"{gitlab_url} {error}") from None
        return read_answer(gitlab_url, status, body)


def _http_client() -> "Callable[[Any, str, Mapping[str, str]], Awaitable[tuple[int, bytes]]]":
    """The client, imported at the first refresh and beside the reactor: with TLS it takes a node's start again."""
    from copilot_socket.handlers.posting import post_form  # noqa: PLC0415 - see above

    return post_form


def read_answer(gitlab_url: str, status: int, body: bytes) -> Pair:
    """What GitLab's answer to the grant says."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if status in (400, 401, 403):
        why = answer.get("error") if isinstance(answer, dict) else None
        raise Refused(f"{gitlab_url} refuses a new token ({status}{f', {why}' if isinstance(why, str) else ''})")
    if status != 200 or not isinstance(answer, dict):
        raise Unavailable(f"{gitlab_url} answered {status} to the request for a new token")
    access, refresh, lifetime = (answer.get(name) for name in ("access_token", "refresh_token", "expires_in"))
    if not isinstance(access, str) or not _TOKEN.fullmatch(access):
        raise Unavailable(f"{gitlab_url} answered without a token that can be used")
    return Pair(
        access, refresh if isinstance(refresh, str) and _TOKEN.fullmatch(refresh) else None, _lifetime(lifetime)
    )


def _lifetime(given: object) -> float | None:
    """*given* within bounds; None where it is no number."""
    if isinstance(given, bool) or not isinstance(given, int | float) or (isinstance(given, float) and isnan(given)):
        return None
    return float(min(max(given, _SHORTEST), _LONGEST))
