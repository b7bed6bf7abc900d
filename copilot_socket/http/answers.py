"""What several answers have in common: lists, and lists of nodes."""

from typing import Annotated, Any

import attrs

from copilot_socket.core.describing import doc

WaitingForNodes = Annotated[
    list[str], doc("The live nodes that do not act on the change yet; none where the status is not 202.")
]


def list_of(name: str, row: type) -> type:
    """The class of a page of a list, ``{name: [row, …], "next": …}``."""
    rows: Any = Annotated[list[row], doc("The rows of this page.")]  # type: ignore[valid-type]
    after: Any = Annotated[str | None, doc("Give it as `cursor` to get the next page; null on the last one.")]
    fields = {name: attrs.field(type=rows), "next": attrs.field(type=after)}
    made = attrs.make_class(f"{row.__name__}List", fields, frozen=True, kw_only=True)
    made.__doc__ = f"A page of {name}."
    return made
