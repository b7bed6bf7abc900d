"""Query parameters: filters and pages of lists."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from copilot_socket.core import cursor
from copilot_socket.http.fields import MAX_NAME, Check, names
from copilot_socket.http.messages import Call, Faults
from copilot_socket.store.listing import Page

MAX_LIMIT = 1000


def some_of(*allowed: str) -> Callable[[str], frozenset[str]]:
    """A check for a comma-separated list of names in *allowed*."""

    def check(value: str) -> frozenset[str]:
        given = frozenset(value.split(","))
        if not given <= set(allowed):
            raise ValueError(f"must be a comma-separated list of {', '.join(allowed)}")
        return given

    return check


def _limit(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 4 and 1 <= int(value) <= MAX_LIMIT):
        raise ValueError(f"must be an integer from 1 to {MAX_LIMIT}")
    return int(value)


def _cursor(value: str) -> str:
    try:
        return cursor.decode(value)
    except ValueError:
        raise ValueError("must be the value of next from an earlier response") from None


_PAGING: Mapping[str, Check] = MappingProxyType({"limit": _limit, "cursor": _cursor})
"""The parameters of every list."""


def listing(call: Call, filters: Mapping[str, Check]) -> tuple[Page, dict[str, Any]]:
    """The page and the filters in *call*'s query. Raises :class:`Problem` 422."""
    given = read(call, {**filters, **_PAGING})
    page = Page(given.pop("limit", Page().limit), given.pop("cursor", None))
    return page, given


def read(call: Call, checks: Mapping[str, Check]) -> dict[str, Any]:
    """The query parameters of *call*, each at most once. Raises :class:`Problem` 422 with all faults."""
    faults = Faults()
    values: dict[str, Any] = {}
    seen: set[str] = set()
    for name, given in call.query:
        check = checks.get(name)
        if check is None:
            faults.add(f"?{name[:MAX_NAME]}", f"unknown parameter; allowed: {names(checks)}")
        elif name in seen:
            faults.add(f"?{name}", "must be given only once")
        else:
            try:
                values[name] = check(given)
            except ValueError as error:
                faults.add(f"?{name}", str(error))
        seen.add(name)
    if faults.count:
        raise faults.problem()
    return values
