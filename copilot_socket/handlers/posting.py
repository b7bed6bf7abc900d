"""A form sent over HTTP: all that the refresh of tokens needs of a client. Slow to import."""

from collections.abc import Mapping
from typing import Any

import treq
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, TimeoutError
from twisted.web.client import Agent, HTTPConnectionPool, ResponseFailed
from twisted.web.http_headers import Headers

from copilot_socket.handlers.oauth import NoAnswer

CONNECT_LIMIT = 5.0
TIME_LIMIT = 9.0
"""Seconds to the head of the answer, and again to its end."""
MAX_ANSWER = 65536


async def post_form(reactor: Any, url: str, form: Mapping[str, str]) -> tuple[int, bytes]:
    """The status and body of the answer, without following redirects. Raises :class:`NoAnswer`."""
    agent = Agent(reactor, connectTimeout=CONNECT_LIMIT, pool=HTTPConnectionPool(reactor, persistent=False))
    d = treq.request(
        "POST",
        url,
        data=dict(form),
        headers=Headers({"Accept": ["application/json"]}),
        agent=agent,
        allow_redirects=False,
        timeout=TIME_LIMIT,
        reactor=reactor,
    )
    try:
        response = await d
        return response.code, await _bounded(response).addTimeout(TIME_LIMIT, reactor)
    except (ConnectError, TimeoutError, ResponseFailed, OSError, ValueError) as error:
        raise NoAnswer(f"did not answer: {type(error).__name__}") from None
    except Exception as error:
        raise NoAnswer(f"can't be asked: {type(error).__name__}") from None


def _bounded(response: "treq.response._Response") -> "Deferred[bytes]":
    """The body, or a ``ValueError`` when it grows past all reason."""
    parts: list[bytes] = []

    def collect(data: bytes) -> None:
        parts.append(data)
        if sum(map(len, parts)) > MAX_ANSWER:
            raise ValueError("answer too large")

    d: Deferred[bytes] = treq.collect(response, collect).addCallback(lambda _: b"".join(parts))
    return d
