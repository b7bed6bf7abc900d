"""Whether a change may be made to what there is now: If-Match and If-None-Match (RFC 9110, section 13.1)."""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

ANY = "*"
"""Stands for the entity tag of whatever there is."""


class PreconditionFailed(Exception):
    """The object is not the one that the change is meant for. ``etag`` is its present tag; None: there is none."""

    def __init__(self, etag: str | None) -> None:
        super().__init__(f"the object's entity tag is {etag}" if etag else "there is no such object")
        self.etag = etag


@attrs.frozen
class Precondition:
    """Entity tags of which the object must have one, and of which it must have none; None: not asked for.

    *etag_of*: the entity tag of an object, given the record of it as it is stored.
    """

    if_match: frozenset[str] | None
    if_none_match: frozenset[str] | None
    etag_of: Callable[[Mapping[str, Any]], str]

    def check(self, record: Mapping[str, Any] | None) -> None:
        """Raise :class:`PreconditionFailed` unless the object, locked, may be changed; None: there is none."""
        etag = None if record is None else self.etag_of(record)
        if self.if_match is not None and not names(self.if_match, etag):
            raise PreconditionFailed(etag)
        if self.if_none_match is not None and names(self.if_none_match, etag):
            raise PreconditionFailed(etag)


def names(tags: frozenset[str], etag: str | None) -> bool:
    """Whether *etag* is one of *tags*; None: there is no object."""
    return etag is not None and (ANY in tags or etag in tags)
