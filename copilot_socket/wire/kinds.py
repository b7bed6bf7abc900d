"""Message types: schema, bounds and structure of each, compiled once."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from copilot_socket.core.messages import ELEMENTS, ENDINGS, INCOMING, PATHS, Data, Json
from copilot_socket.core.records import record
from copilot_socket.core.reports import Found
from copilot_socket.wire.schemas import Bound, Schema, bounds, of_element, of_type
from copilot_socket.wire.structuring import STRUCTURES, found_entity, found_job

MAX_PATH = 1024
"""Bytes of a path in UTF-8: the schema limits characters, an index of the database bytes."""


@record
class Elements:
    """The list of a type whose bad elements are left out. ``path``: the field of an element that holds a path."""

    name: str
    path: str
    schema: Schema
    reader: Callable[[Json], Callable[[Json], Found]]
    """Takes the data of a message; returns the function that converts one of its elements."""

    def has_long_path(self, element: Any) -> bool:
        """Whether the path of *element*, valid or not, is too long for the database."""
        path = element.get(self.path) if isinstance(element, dict) else None
        return isinstance(path, str) and len(path) > MAX_PATH // 4 and len(path.encode("utf-8", "replace")) > MAX_PATH


@record
class Kind:
    """One message type. ``accepts`` is that of its schema; ``ends``: it ends an attempt."""

    schema: Schema
    accepts: Callable[[Any], bool]
    structure: Callable[[Json], Data]
    bounds: Mapping[str, Bound | None]
    elements: Elements | None
    ends: bool

    @property
    def sized(self) -> list[tuple[str, int]]:
        """Fields with a bound in bytes of JSON, and the bound."""
        return [(name, bound.size) for name, bound in self.bounds.items() if bound is not None and bound.size]


def kinds() -> dict[str, Kind]:
    """Message type → its kind."""
    found = {}
    for type_ in INCOMING:
        schema = of_type(type_)
        structure, elements = STRUCTURES[type_], _elements(type_)
        found[type_] = Kind(schema, schema.accepts, structure, bounds(type_), elements, type_ in ENDINGS)
    return found


def _elements(type_: str) -> Elements | None:
    if type_ not in ELEMENTS:
        return None
    return Elements(ELEMENTS[type_], PATHS[type_], of_element(type_), _READERS[type_])


_READERS: dict[str, Callable[[Json], Callable[[Json], Found]]] = {
    "jobs_discovered": lambda _data: found_job,
    "discovery": lambda data: partial(found_entity, data["entityType"]),
}
