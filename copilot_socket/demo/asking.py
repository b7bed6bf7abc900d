"""Blocking HTTP requests with JSON, for programs without a reactor."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import attrs


class NoAnswer(Exception):
    """There was no response, or it was not JSON."""


@attrs.frozen
class Answered:
    """A response; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: Any


_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Ignores proxy settings: all servers of a demo are on loopback."""


def ask(
    url: str, *, method: str = "GET", document: Any = None, token: str | None = None, timeout: float = 30.0
) -> Answered:
    """The response, of any status. *timeout* in seconds. Raises :class:`NoAnswer`."""
    request = urllib.request.Request(url, method=method)
    if document is not None:
        request.data = json.dumps(document).encode()
        request.add_header("Content-Type", "application/json")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        try:
            with _NO_PROXY.open(request, timeout=timeout) as answer:
                return _read(answer)
        except urllib.error.HTTPError as error:
            with error:
                return _read(error)
    except (OSError, ValueError) as error:
        raise NoAnswer(f"{url} does not answer: {type(error).__name__}") from error


def _read(answer: Any) -> Answered:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Answered(answer.status, headers, json.loads(answer.read()))
