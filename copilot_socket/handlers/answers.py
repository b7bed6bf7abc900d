"""Answers to forms sent over HTTP (RFC 9110), apart from the client that brings them, which is slow to import."""

import re
from email.utils import parsedate_to_datetime

import attrs


class NoAnswer(Exception):
    """A request brought no answer that could be read. Never holds what was sent."""


@attrs.frozen
class Answer:
    """An HTTP answer. ``retry_after`` in seconds, as the server tells."""

    status: int
    body: bytes = attrs.field(repr=False)
    retry_after: float | None = None


def retry_after(field: str | None, date: str | None) -> float | None:
    """Seconds in a ``Retry-After``, which may be a time; *date* is then the answer's own."""
    if field is None:
        return None
    if re.fullmatch("[0-9]{1,9}", field.strip(), re.ASCII):
        return float(field)
    try:
        return max(0.0, (parsedate_to_datetime(field) - parsedate_to_datetime(date or "")).total_seconds())
    except (ValueError, TypeError):
        return None
