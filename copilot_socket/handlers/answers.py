"""HTTP answers to forms (RFC 9110); apart from the client (:mod:`.posting`), which is slow to import."""

import re
from email.utils import parsedate_to_datetime

import attrs


class NoAnswer(Exception):
    """A request got no readable answer. The message never quotes the request."""


@attrs.frozen
class Answer:
    """An HTTP answer. ``retry_after``: seconds in its ``Retry-After``, None without one."""

    status: int
    body: bytes = attrs.field(repr=False)
    retry_after: float | None = None


def retry_after(field: str | None, date: str | None) -> float | None:
    """Seconds in the ``Retry-After`` *field*, which may be a date: it is compared with the answer's own *date*."""
    if field is None:
        return None
    if re.fullmatch("[0-9]{1,9}", field.strip(), re.ASCII):
        return float(field)
    try:
        return max(0.0, (parsedate_to_datetime(field) - parsedate_to_datetime(date or "")).total_seconds())
    except (ValueError, TypeError):
        return None
