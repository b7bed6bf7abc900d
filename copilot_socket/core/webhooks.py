"""Webhooks: of which live events they tell, how messages are signed, what answers mean (docs/http.md, "Webhooks").

Messages are signed as Standard Webhooks 1.0 says: receivers can use its libraries.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from secrets import token_bytes
from typing import Any

import attrs
import orjson

from copilot_socket.core.jobs import Status
from copilot_socket.core.live_events import LiveEvent


class WebhookEvent(StrEnum):
    """What a webhook can tell of."""

    CREDENTIAL_EXPIRED = "credential.expired"
    CRAWLER_QUARANTINED = "crawler.quarantined"
    HOST_HELD = "host.held"
    JOB_FAILED = "job.failed"


PING = "ping"
"""The event of a message that only tests a webhook."""
_MARKS: Mapping[tuple[str, str], WebhookEvent] = {
    ("account", "refused"): WebhookEvent.CREDENTIAL_EXPIRED,
    ("connection", "quarantined"): WebhookEvent.CRAWLER_QUARANTINED,
    ("host", "held"): WebhookEvent.HOST_HELD,
}
"""Type and event of a live event → what it is told as. Jobs are told apart by their state."""
PATTERN = f'"({"|".join(sorted({mark for _, mark in _MARKS} | {str(Status.FAILED), "lost"}))})"'
"""A regular expression that the text of each row of live events matches that webhooks are to be told of."""
_FIELDS = (
    "id",
    "account_id",
    "user_id",
    "crawler_id",
    "crawler_job_id",
    "gitlab_origin",
    "outcome",
    "cause",
    "reason",
    "error",
)
"""What a message has of a live event's data."""
LONGEST = 1000
"""Characters of a value in a message."""


@attrs.frozen
class Notice:
    """What webhooks are told: *payload* is JSON."""

    event: str
    payload: str


def notice_of(live: LiveEvent) -> Notice | None:
    """What webhooks are told of *live*; None: nothing."""
    event: str | None = _MARKS.get((live.type, str(live.data.get("event"))))
    if live.type == "job" and live.data.get("status") == Status.FAILED and live.data.get("event") != "created":
        event = WebhookEvent.JOB_FAILED
    if event is None:
        return None
    data = {name: _bounded(live.data[name]) for name in _FIELDS if name in live.data}
    return Notice(str(event), orjson.dumps(data).decode())


def _bounded(value: Any) -> str:
    """*value* as PostgreSQL can store it, whoever it comes from."""
    return str(value)[:LONGEST].replace("\0", "\ufffd").encode(errors="replace").decode()


# -- messages

_PREFIX = "whsec_"
_SHORTEST = 24
"""Bytes of a secret, by the specification; others may write to the table, and nothing is signed with less."""


class BadSecret(ValueError):
    """A stored secret is none: somebody else has written it."""


def new_secret() -> str:
    """A new random secret, as receivers are given it."""
    return _PREFIX + b64encode(token_bytes(32)).decode()


def message(delivery: str, event: str, at: datetime, payload: str) -> bytes:
    """The body of a request."""
    moment = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return orjson.dumps({"id": delivery, "event": event, "timestamp": moment, "data": orjson.Fragment(payload)})


def headers(delivery: str, body: bytes, secrets: Sequence[str], now: float) -> dict[str, str]:
    """The headers of a request that is sent *now* (seconds since 1970), with a signature by each of *secrets*.

    Raises :class:`BadSecret`.
    """
    sent = str(int(now))
    signed = b".".join((delivery.encode(), sent.encode(), body))
    return {
        "Content-Type": "application/json",
        "Webhook-Id": delivery,
        "Webhook-Timestamp": sent,
        "Webhook-Signature": " ".join(_signature(secret, signed) for secret in secrets),
    }


def _signature(secret: str, signed: bytes) -> str:
    try:
        key = b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError:
        key = b""
    if len(key) < _SHORTEST:
        raise BadSecret("the webhook's secret is not valid; rotate it")
    return f"v1,{b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


# -- answers

FIRST, CAP = 10.0, 3600.0
"""Seconds before the second attempt, and the longest wait."""
GIVE_UP = 86400.0
"""Seconds after which a message is not sent again."""
_GONE = 410


@attrs.frozen
class Verdict:
    """What an attempt means: ``status`` of the delivery, and in how many seconds a pending one is sent again.

    ``gone``: the receiver wants nothing any more.
    """

    status: str
    wait: float = 0.0
    gone: bool = False


def verdict(status: int | None, attempts: int, age: float, retry_after: float | None = None) -> Verdict:
    """What the *attempts*-th attempt means, that was answered by *status* (None: not at all).

    *age*: seconds since the delivery was made; *retry_after*: what the receiver asks for.
    """
    if status is not None and 200 <= status < 300:
        return Verdict("delivered")
    if status == _GONE:
        return Verdict("failed", gone=True)
    wait = min(CAP, max(FIRST * 2.0 ** min(attempts - 1, 62), retry_after or 0.0))
    return Verdict("failed") if age + wait > GIVE_UP else Verdict("pending", wait)
