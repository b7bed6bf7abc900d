"""What several answers have in common: lists, lists of nodes, and problems."""

from typing import Annotated, Any, Literal

import attrs
from msgspec import UNSET, UnsetType

from copilot_socket.core.describing import doc
from copilot_socket.http.messages import Reply, reply
from copilot_socket.store.listing import Listing

WaitingForNodes = Annotated[
    list[str], doc("The live nodes that do not act on the change yet; none where the status is not 202.")
]


_TOTAL: Any = Annotated[int | UnsetType, doc("On request: how many rows all pages have.")]
_EXACT: Any = Annotated[bool | UnsetType, doc("Whether these were counted, or `total` is an estimate.")]


def list_of(name: str, row: type) -> type:
    """The class of a page of a list, ``{name: [row, …], "next": …}``, with the total on request."""
    rows: Any = Annotated[list[row], doc("The rows of this page.")]  # type: ignore[valid-type]
    after: Any = Annotated[str | None, doc("Give it as `cursor` to get the next page; null on the last one.")]
    fields = {
        name: attrs.field(type=rows),
        "next": attrs.field(type=after),
        "total": attrs.field(type=_TOTAL, default=UNSET),
        "total_exact": attrs.field(type=_EXACT, default=UNSET),
    }
    made = attrs.make_class(f"{row.__name__}List", fields, frozen=True, kw_only=True)
    made.__doc__ = f"A page of {name}."
    return made


def page(name: str, listing: Listing) -> Reply:
    """A page of the list *name*, of the class that :func:`list_of` makes."""
    shown: dict[str, Any] = {name: listing.rows, "next": listing.next}
    if listing.total is not None:
        shown |= {"total": listing.total.count, "total_exact": listing.total.exact}
    return reply(shown)


@attrs.frozen(kw_only=True)
class Fault:
    """An error in a request."""

    path: Annotated[str, doc("A JSON pointer into the body, or `?name` for a parameter.")]
    message: Annotated[str, doc("What is wrong.")]


@attrs.frozen(kw_only=True)
class Problem:
    """An error (RFC 9457)."""

    type: Annotated[Literal["about:blank"], doc("Always the same.")]
    title: Annotated[str, doc("The name of the status.")]
    status: Annotated[int, doc("The status.")]
    detail: Annotated[str, doc("What is wrong.")]
    errors: Annotated[
        list[Fault] | UnsetType,
        doc("Of a 422, and of a 403 of a submission: the first 100, and one that says how many more there are."),
    ] = UNSET
    state: Annotated[
        str | UnsetType, doc("Of a 409: the state of the job, or of the operation, which does not allow it.")
    ] = UNSET
    twin: Annotated[str | UnsetType, doc("Of a 409: the id of a live job with the same work.")] = UNSET
    etag: Annotated[str | UnsetType | None, doc("Of a 412: the entity tag of the object; null: there is none.")] = (
        UNSET
    )
    pause: Annotated[str | UnsetType, doc("Of a 409: the id of the pause of the same scope and target.")] = UNSET
