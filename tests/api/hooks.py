"""What schemathesis can't read in the API's description: how to be a new client, and rules that no schema can say."""

import random
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.parameters import ParameterLocation

from copilot_socket.http.openapi import TAGS
from copilot_socket.http.queries import MAX_INCLUDING
from tests.api import ACCOUNTS, HOST, PATH

Body = dict[str, Any]

KEY = "Idempotency-Key"
FUTURE = "2100-01-01T00:00:00Z"
FUTURE_JOB = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
TARGETS = {"everything": None, "account": ACCOUNTS[0], "host": HOST, "command": "issues", "path_prefix": PATH}
_RANDOM = random.SystemRandom()
"""Hypothesis seeds the other one anew, again and again."""

# As `next` of a list by number; other lists take it, too.
_CURSORS = st.integers(0, 10**17).map(lambda key: urlsafe_b64encode(f"[{key}]".encode()).rstrip(b"=").decode())
_TIMES = st.datetimes(datetime(2000, 1, 2), datetime(2199, 12, 30), timezones=st.just(UTC))

schemathesis.openapi.format("cursor", _CURSORS)
schemathesis.openapi.format("date-time", _TIMES.map(lambda time: time.isoformat().replace("+00:00", "Z")))


def _job(body: Body) -> None:
    """Its account exists, with its GitLab; it has a path; its resume state is one that is kept."""
    body["account_id"] = _RANDOM.choice(ACCOUNTS)
    body["gitlab_url"] = None
    body["full_path"] = body.get("full_path") or PATH
    if body.get("resume_state") is not None:
        body["resume_state"] = {"currentPage": 2}


def _bulk(body: Body) -> None:
    """It has either ids or a filter."""
    if (body.get("ids") is None) == (body.get("filter") is None):
        body["ids"], body["filter"] = [FUTURE_JOB], None


def _pause(body: Body) -> None:
    """It covers something, and has not ended."""
    body["target"] = TARGETS[body["scope"]]
    _ending(body, "ends_at")


def _budget(body: Body) -> None:
    """Its account exists, or its host; no more is left than there is; it is full again within the hour."""
    body["gitlab_origin"] = HOST
    body["account_id"] = _RANDOM.choice([None, *ACCOUNTS])
    if body.get("limit") is not None:
        body["limit"] = max(body["limit"], body["remaining"])
    body["reset_at"] = None


def _token(body: Body) -> None:
    """Only one for applications is limited, and it has not expired."""
    if body.get("accounts") or body.get("users"):
        body["role"] = "app"
    _ending(body, "expires_at")


def _ending(body: Body, name: str) -> None:
    if body.get(name) is not None:
        body[name] = FUTURE


ORDERED = {f"GET /api/v1/{name}" for name in ("jobs", "errors", "areas", "accounts")}
"""Lists whose cursors depend on their order."""
RULES: Mapping[str, Callable[[Body], None]] = {
    "POST /api/v1/jobs": _job,
    "POST /api/v1/jobs/bulk": _bulk,
    "POST /api/v1/pauses": _pause,
    "POST /api/v1/queue/pause": lambda body: _ending(body, "ends_at"),
    "PUT /api/v1/budgets": _budget,
    "POST /api/v1/tokens": _token,
}
"""Endpoint → what a body must be besides valid: there are other rows, other fields, and the present."""


def _query(endpoint: str, query: dict[str, Any]) -> None:
    """A cursor is of the same list in the same order; a period ends after its beginning; nobody waits for long.

    What is large beside a row comes in short pages.
    """
    if "include" in query and "limit" in query:
        query["limit"] = min(int(query["limit"]), MAX_INCLUDING)
    if endpoint in ORDERED:
        query.pop("cursor", None)
    if endpoint == "GET /api/v1/stats/history" and "since" in query:
        query["since"], query["until"] = sorted((query["since"], query.get("until", FUTURE)))
    if "wait" in query:
        query["wait"] = min(int(query["wait"]), 1)


@schemathesis.hook
def before_call(context: Any, case: Any, **kwargs: Any) -> None:
    """Keep the rules in what is to be accepted, use no key for a second body, and be a new client behind a proxy.

    Of one client, the sixth wrong token in a minute is answered with 429 instead of 401.
    """
    rule = RULES.get(case.operation.label)
    if rule is not None and case.meta is not None and not case.meta.is_negative_at(ParameterLocation.BODY):
        for body in case.body if isinstance(case.body, list) else [case.body]:
            if isinstance(body, dict):
                rule(body)
    if case.query and case.meta is not None and not case.meta.is_negative_at(ParameterLocation.QUERY):
        _query(case.operation.label, case.query)
    headers = {**(case.headers or {}), "X-Forwarded-For": str(IPv4Address(0x0B000000 + _RANDOM.getrandbits(24)))}
    if re.fullmatch("[ -~]{1,255}", str(headers.get(KEY, ""))):
        headers[KEY] = f"{_RANDOM.getrandbits(64)}"
    if re.fullmatch(TAGS, str(headers.get("If-Match", ""))):
        del headers["If-Match"]  # it is the tag of no object
    if case.method == "PUT" and headers.get("If-None-Match") == "*":
        del headers["If-None-Match"]  # it exists
    case.headers = headers
