"""How the classes of requests and answers describe themselves to others (docs/adr/0024-openapi.md)."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

Time = Annotated[datetime, Meta(tz=True)]
"""A time, which is shown as ISO 8601 in UTC."""


def doc(text: str) -> Meta:
    """What an attribute means, in the list of metadata of its type: ``name: Annotated[str, doc("…")]``."""
    return Meta(description=text)


def shown_name(name: str) -> str:
    """The name of the attribute *name* outside: ``try_`` is ``try``, a keyword of Python."""
    return name.removesuffix("_")
