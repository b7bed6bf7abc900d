"""The cause of a failure for which its crawler names none (docs/protocol.md, "Causes").

The first of these that is recognised decides: an HTTP status in ``context``, an error code in ``context`` or in
``errorType``, the text of ``error``. A number in a text counts as an HTTP status only where it is marked as one.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from copilot_socket.core.ends import Cause

LONGEST = 2000
"""Characters of a text that are looked at."""
MOST_RETRY_AFTER = 3600.0
"""Seconds; a longer ``Retry-After`` is cut to this."""

_STATUS_FIELDS = ("httpStatus", "http_status", "statusCode", "status_code", "status", "code")
_CODE_FIELDS = ("code", "errorCode", "name")
_NESTED = ("response", "cause", "error")
"""Objects within ``context`` in which HTTP libraries keep these fields."""

_UNREACHABLE = (
    "ECONNREFUSED",
    "ECONNRESET",
    "ECONNABORTED",
    "EHOSTUNREACH",
    "EHOSTDOWN",
    "ENETUNREACH",
    "ENETDOWN",
    "ENOTFOUND",
    "EAI_AGAIN",
    "EPIPE",
    "ETIMEDOUT",
    "ESOCKETTIMEDOUT",
    "ERR_NETWORK",
    "UND_ERR_CONNECT_TIMEOUT",
    "UND_ERR_HEADERS_TIMEOUT",
    "UND_ERR_BODY_TIMEOUT",
    "UND_ERR_SOCKET",
    "ConnectionError",
    "ConnectionRefusedError",
    "ConnectionResetError",
    "ConnectTimeout",
    "ReadTimeout",
    "FetchError",
)
CODES: Mapping[str, Cause] = {code.lower(): Cause.GITLAB_UNAVAILABLE for code in _UNREACHABLE} | {
    "too_many_requests": Cause.RATE_LIMITED,
    "rate_limited": Cause.RATE_LIMITED,
    "invalid_token": Cause.CREDENTIAL,
    "insufficient_scope": Cause.FORBIDDEN,
}
"""Error codes and names of exceptions, in lower case."""

_PHRASES: Mapping[str, str] = {
    "400": "bad request",
    "401": "unauthorized",
    "403": "forbidden",
    "404": r"(?:\w+ ){0,3}not found",
    "408": "request time-?out",
    "410": "gone",
    "429": "too many requests",
    "500": "internal server error",
    "502": "bad gateway",
    "503": "service (?:temporarily )?unavailable",
    "504": "gateway time-?out",
}
_MARKED = re.compile(
    r"\bhttp(?:/\d(?:\.\d)?)?[ :]+(?:error )?(?P<http>[45]\d\d)\b"
    r"|\b(?:status|status[ _]?code|response code|error|returned|responded with)[ :=(]+"
    r"(?P<said>[45]\d\d)\b(?! [a-z]+s\b)"  # and no "500 items"
    r"|^\W*(?:error:? )?(?P<alone>[45]\d\d)\W*$"
    + "".join(rf"|\b(?P<s{number}>{number})[ :(-]+{phrase}\b" for number, phrase in _PHRASES.items()),
    re.IGNORECASE,
)
"""An HTTP status in a text: behind "HTTP", "status" and the like, before its reason phrase, or alone."""

TEXTS: tuple[tuple[re.Pattern[str], Cause], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), cause)
    for pattern, cause in (
        (r"\btoo many requests\b|\brate limit(?:ed)?\b", Cause.RATE_LIMITED),
        (rf"\b(?:{'|'.join(code for code in _UNREACHABLE if code.isupper())})\b", Cause.GITLAB_UNAVAILABLE),
        (r"\bfetch failed\b|\bsocket hang up\b|\bnetwork (?:error|time-?out)\b", Cause.GITLAB_UNAVAILABLE),
        (r"\bgetaddrinfo\b|\bname resolution\b", Cause.GITLAB_UNAVAILABLE),
        (r"\bconnection (?:was )?(?:refused|reset|closed|aborted|timed out)\b", Cause.GITLAB_UNAVAILABLE),
        (r"\b(?:request|connect|connection|read|gateway) (?:timed |time-?)out\b", Cause.GITLAB_UNAVAILABLE),
        (r"\baborted due to time-?out\b", Cause.GITLAB_UNAVAILABLE),
        (r"\b(?:bad gateway|service unavailable|internal server error)\b", Cause.GITLAB_UNAVAILABLE),
        (r"\binvalid_token\b", Cause.CREDENTIAL),  # a mere word of tokens must not cost an account its own
        (r"\bforbidden\b|\binsufficient_scope\b", Cause.FORBIDDEN),
    )
)
"""Patterns in the text of ``error``, and their causes, where it names no HTTP status."""


_BLOCKED = re.compile(
    r"<!doctype html|<html|\bip\b.{0,40}\b(?:blocked|banned|denied)\b|\b(?:blocked|banned)\b.{0,40}\bip\b",
    re.IGNORECASE | re.DOTALL,
)
"""In the body of a 403 that means the crawler's address: GitLab answers in JSON where a permission is missing."""
_BODY_FIELDS = ("body", "data", "responseText", "message")
"""Fields of ``context`` in which HTTP libraries keep the body of an answer."""


@attrs.frozen
class Inference:
    """A cause; ``retry_after``: the seconds that GitLab asked to wait, if it did.

    ``blocked``: GitLab refuses the crawler's address.
    """

    cause: Cause
    retry_after: float | None = None
    blocked: bool = False


def infer(error: str, error_type: str | None = None, context: Mapping[str, Any] | None = None) -> Inference:
    """The cause of a failure with these fields of ``job_failed``; ``job_error`` where nothing is recognised."""
    objects = list(_objects(context or {}))
    retry_after = next(filter(None, map(_retry_after, objects)), None)
    cause = (
        _first(_by_status(each) for each in objects)
        or _first(_by_code(each.get(field)) for each in objects for field in _CODE_FIELDS)
        or _by_code(error_type)
        or _by_text(error[:LONGEST])
        or Cause.JOB_ERROR
    )
    if cause is not Cause.FORBIDDEN:
        return Inference(cause, retry_after)
    blocked = _blocks([error, *_bodies(objects)])
    limited = blocked or retry_after is not None
    return Inference(Cause.RATE_LIMITED if limited else cause, retry_after, blocked)


def by_http_status(status: int) -> Cause | None:
    """What an answer of GitLab with *status* means, without its headers; None for a success or a redirection."""
    match status:
        case 401:
            return Cause.CREDENTIAL
        case 403:
            return Cause.FORBIDDEN
        case 404 | 410:
            return Cause.NOT_FOUND
        case 429:
            return Cause.RATE_LIMITED
    if status == 408 or 500 <= status <= 599:
        return Cause.GITLAB_UNAVAILABLE
    return Cause.JOB_ERROR if 400 <= status <= 499 else None


def _blocks(texts: Iterable[str]) -> bool:
    return any(_BLOCKED.search(text[:LONGEST]) for text in texts)


def _bodies(objects: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for each in objects:
        for name in _BODY_FIELDS:
            body = each.get(name)
            text = body.get("message") if isinstance(body, Mapping) else body
            if isinstance(text, str):
                yield text


def _first(causes: Iterator[Cause | None]) -> Cause | None:
    return next(filter(None, causes), None)


def _objects(context: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """*context*, and the objects in it that HTTP libraries make."""
    yield context
    for name in _NESTED:
        nested = context.get(name)
        if isinstance(nested, Mapping):
            yield nested


def _by_status(fields: Mapping[str, Any]) -> Cause | None:
    for name in _STATUS_FIELDS:
        value = fields.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            cause = by_http_status(value)
            if cause is not None:
                return cause
    return None


def _by_code(value: object) -> Cause | None:
    return CODES.get(value.lower()) if isinstance(value, str) and len(value) < 100 else None


def _by_text(text: str) -> Cause | None:
    marked = _MARKED.search(text)
    if marked is not None:
        status = next(value for value in marked.groupdict().values() if value)
        return by_http_status(int(status))
    return next((cause for pattern, cause in TEXTS if pattern.search(text)), None)


def _retry_after(fields: Mapping[str, Any]) -> float | None:
    """Seconds: ``retryAfter``, or the header ``Retry-After`` (RFC 9110, 10.2.3) where it is a number."""
    headers = fields.get("headers")
    named = {name.lower(): value for name, value in headers.items()} if isinstance(headers, Mapping) else {}
    value = fields.get("retryAfter", named.get("retry-after"))
    try:
        seconds = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        return None
    return min(seconds, MOST_RETRY_AFTER) if seconds >= 0 else None
