"""Query parameters: classes of filters and pages, whose attributes are as in :mod:`copilot_socket.http.fields`.

A parameter is given at most once; several values of one are separated by commas::

    @attrs.frozen(kw_only=True)
    class AreaQuery(Listed):
        \"\"\"Which areas.\"\"\"

        type: Annotated[str | None, one_of("group", "project"), doc("What they are.")] = None
"""

from typing import Annotated, Any, TypeVar

import attrs

from copilot_socket.core import cursor
from copilot_socket.core.describing import doc
from copilot_socket.http.checks import Check, flag, integer
from copilot_socket.http.fields import MAX_NAME, fields_of, names
from copilot_socket.http.messages import Call, Faults, invalid
from copilot_socket.store.listing import Page

MAX_LIMIT, MAX_INCLUDING = 1000, 100
BAD_CURSOR = "must be the value of next from an earlier response with the same order"

T = TypeVar("T")


def _cursor(value: str) -> str:
    try:
        return cursor.decode(value)
    except ValueError:
        raise ValueError(BAD_CURSOR) from None


@attrs.frozen(kw_only=True)
class NoQuery:
    """No parameters."""


@attrs.frozen(kw_only=True)
class Listed:
    """A page of a list. Subclasses add the filters."""

    limit: Annotated[int, integer(1, MAX_LIMIT), doc("Rows of the page, at most.")] = Page().limit
    cursor: Annotated[
        str | None,
        Check(_cursor, {"type": "string", "format": "cursor"}),
        doc("`next` of the page before; without it the first page."),
    ] = None

    total: Annotated[bool, flag, doc("Count the rows of all pages, too: exactly up to 10,000.")] = False

    @property
    def page(self) -> Page:
        """The page."""
        return Page(self.limit, self.cursor, self.total)

    @property
    def filters(self) -> dict[str, Any]:
        """The filters that were given, by name."""
        return given(self, *PAGING)


PAGING = tuple(attrs.fields_dict(Listed))
"""The parameters of a page, which are no filters."""


def given(values: Any, *without: str) -> dict[str, Any]:
    """The attributes of *values* that are not None, by name, *without* some."""
    names = (name for name in fields_of(type(values)) if name not in without)
    return {name: value for name in names if (value := getattr(values, name)) is not None}


def short(query: Listed, include: str) -> None:
    """A page with what is large beside its rows has at most :data:`MAX_INCLUDING`. Raises :class:`Problem` 422."""
    if query.limit > MAX_INCLUDING:
        raise invalid("?limit", f"must be at most {MAX_INCLUDING} with include={include}")


def read(call: Call, cls: type[T]) -> T:
    """The query parameters of *call* as an instance of *cls*. Raises :class:`Problem` 422 with all faults."""
    fields = fields_of(cls)
    faults = Faults()
    values: dict[str, Any] = {}
    seen: set[str] = set()
    for name, text in call.query:
        field = fields.get(name)
        if field is None:
            faults.add(f"?{name[:MAX_NAME]}", f"unknown parameter; allowed: {names(fields)}")
        elif name in seen:
            faults.add(f"?{name}", "must be given only once")
        else:
            try:
                values[name] = field.check.accept(field.check.parse(text))
            except ValueError as error:
                faults.add(f"?{name}", str(error))
        seen.add(name)
    for name, field in fields.items():
        if field.required and name not in seen:
            faults.add(f"?{name}", f"is required: {field.check.allowed}")
    if faults.count:
        raise faults.problem()
    return cls(**values)
