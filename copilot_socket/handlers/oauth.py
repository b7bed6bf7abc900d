"""The refresh-token grant against GitLab (RFC 6749, section 6)."""

import json
from typing import Any, Protocol

import attrs
import treq
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, TimeoutError
from twisted.web.client import Agent, HTTPConnectionPool, ResponseFailed
from twisted.web.http_headers import Headers

TIME_LIMIT = 9.0
MAX_ANSWER = 65536


class Refused(Exception):
    """There will be no new token for this account until someone renews its credential."""


class Unavailable(Exception):
    """No new token could be had at the moment; later may be different."""


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
        self._agent = Agent(reactor, connectTimeout=5.0, pool=HTTPConnectionPool(reactor, persistent=False))

    async def refresh(self, gitlab_url: str, refresh_token: str) -> Pair:
        """See :class:`Grant`."""
        url = gitlab_url.rstrip("/") + "/oauth/token"
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, **self._client}
        d = treq.request(
            "POST",
            url,
            data=form,
            headers=Headers({"Accept": ["application/json"]}),
            agent=self._agent,
            allow_redirects=False,
            timeout=TIME_LIMIT,
            reactor=self._reactor,
        )
        try:
            response = await d
            body = await _bounded(response).addTimeout(TIME_LIMIT, self._reactor)
        except (ConnectError, TimeoutError, ResponseFailed, OSError, ValueError) as error:
            raise Unavailable(f"{gitlab_url} did not answer: {type(error).__name__}") from None
        except Exception as error:
            raise Unavailable(f"{gitlab_url} can't be asked: {type(error).__name__}") from None
        return read_answer(gitlab_url, response.code, body)


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
    if not isinstance(access, str) or not access:
        raise Unavailable(f"{gitlab_url} answered without a token")
    return Pair(
        access,
        refresh if isinstance(refresh, str) and refresh else None,
        float(lifetime) if isinstance(lifetime, int | float) and not isinstance(lifetime, bool) else None,
    )


def _bounded(response: "treq.response._Response") -> "Deferred[bytes]":
    """The body, or a ``ValueError`` when it grows past all reason."""
    parts: list[bytes] = []

    def collect(data: bytes) -> None:
        parts.append(data)
        if sum(map(len, parts)) > MAX_ANSWER:
            raise ValueError("answer too large")

    d: Deferred[bytes] = treq.collect(response, collect).addCallback(lambda _: b"".join(parts))
    return d
