"""What schemathesis can't read in the description of the API: how to be a new client, and what is in the future."""

import random
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Any

import schemathesis
from hypothesis import strategies as st

# As `next` of a list by number; other lists take it, too.
_CURSORS = st.integers(0, 10**17).map(lambda key: urlsafe_b64encode(f"[{key}]".encode()).rstrip(b"=").decode())
# In the future, as ends must be; any time that the server knows is as good for the rest.
_TIMES = st.datetimes(datetime(2030, 1, 1), datetime(2199, 12, 30), timezones=st.just(UTC))

schemathesis.openapi.format("cursor", _CURSORS)
schemathesis.openapi.format("date-time", _TIMES.map(lambda time: time.isoformat().replace("+00:00", "Z")))

_RANDOM = random.SystemRandom()
"""Hypothesis seeds the other one anew, again and again."""


@schemathesis.hook
def before_call(context: Any, case: Any, **kwargs: Any) -> None:
    """Be another client behind a proxy each time: the sixth wrong token of one in a minute is a 429, not a 401."""
    client = IPv4Address(0x0B000000 + _RANDOM.getrandbits(24))
    case.headers = {**(case.headers or {}), "X-Forwarded-For": str(client)}
