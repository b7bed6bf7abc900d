"""Query parameters: filters and pages of lists."""

from collections.abc import Callable, Mapping
from typing import Any

from copilot_socket.core import cursor
from copilot_socket.http.fields import Check, names
from copilot_socket.http.messages import Call, Fault, invalid
from copilot_socket.store.catalog import Page

MAX_LIMIT = 1000


def _limit(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 4 and 1 <= int(value) <= MAX_LIMIT):
        raise ValueError(f"must be a whole number from 1 to {MAX_LIMIT}")
    return int(value)


def _cursor(value: str) -> str:
    try:
        return cursor.decode(value)
    except ValueError:
        raise ValueError("must be what an earlier answer gave as next") from None


_PAGING: Mapping[str, Callable[[str], Any]] = {"limit": _limit, "cursor": _cursor}


def listing(call: Call, filters: Mapping[str, Check]) -> tuple[Page, dict[str, str]]:
    """The page and the filters that *call* asks for. Raises :class:`Problem` 422."""
    given = read(call, {**filters, **_PAGING})
    page = Page(given.pop("limit", Page().limit), given.pop("cursor", None))
    return page, given


def read(call: Call, checks: Mapping[str, Check]) -> dict[str, Any]:
    """The query parameters of *call*, each at most once. Raises :class:`Problem` 422 with every fault."""
    faults: list[Fault] = []
    values: dict[str, Any] = {}
    seen: set[str] = set()
    for name, given in call.query:
        check = checks.get(name)
        if check is None:
            faults.append(Fault(f"?{name[:200]}", f"is unknown: allowed are {names(list(checks))}"))
        elif name in seen:
            faults.append(Fault(f"?{name}", "may be given only once"))
        else:
            try:
                values[name] = check(given)
            except ValueError as error:
                faults.append(Fault(f"?{name}", str(error)))
        seen.add(name)
    if faults:
        raise invalid(faults)
    return values
