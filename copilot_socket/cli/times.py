"""Times and durations for people."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_FAR = timedelta(days=90)


def moment(text: str) -> datetime | None:
    """The time that *text* is in ISO 8601, else None."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def absolute(text: str) -> str:
    """A time without fractions of a second, in UTC: ``2026-01-05T10:00:00Z``. What is none stays as it is."""
    at = moment(text)
    return text if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def relative(text: str, now: datetime) -> str:
    """How long ago a time was, or how far ahead it is: ``5 min ago``, ``in 2 h``. Times far away are dates."""
    at = moment(text)
    if at is None:
        return text
    distance = at - now
    if abs(distance) > _FAR:
        return f"{at.astimezone(UTC):%Y-%m-%d}"
    seconds = distance.total_seconds()
    return f"in {_rough(seconds)}" if seconds >= 1 else f"{_rough(-seconds)} ago" if seconds <= -1 else "now"


def _rough(seconds: float) -> str:
    """In the largest unit of which there are two, so that it is off by a third at most."""
    for size, unit in _UNITS:
        if seconds >= 2 * size or size == 1:
            return f"{int(seconds // size)} {unit}"
    raise AssertionError("the last unit takes all")


def duration_text(seconds: float) -> str:
    """``850 ms``, ``12.3 s``, ``4 min 5 s``, ``2 h 3 min``."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return " ".join(list(_parts(int(seconds)))[:2])


def _parts(seconds: int) -> Iterator[str]:
    for size, unit in _UNITS:
        number, seconds = divmod(seconds, size)
        if number:
            yield f"{number} {unit}"


def between(start: str | None, end: str | None) -> str | None:
    """The duration from *start* to *end*; None if one of them is missing."""
    first, last = moment(start or ""), moment(end or "")
    return None if first is None or last is None else duration_text((last - first).total_seconds())
