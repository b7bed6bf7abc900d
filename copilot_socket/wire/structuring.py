"""From validated JSON to the classes of :mod:`copilot_socket.core.messages`."""

from collections.abc import Callable
from typing import Any, cast

import attrs

from copilot_socket.core.messages import INCOMING, Data, DiscoveredJob, Entity, wire_name

Structure = Callable[[dict[str, Any]], Any]


def _identifier(value: Any) -> Any:
    return int(value) if isinstance(value, float) else value


def _structure(cls: type) -> Structure:
    """What makes *cls* of an object that its schema has accepted: what is left is to name and to freeze.

    A field that is left out becomes None, as one that is null.
    """
    fields = attrs.fields(cls)
    names = [wire_name(cls, field.name) for field in fields]
    conversions = [
        (index, _CONVERSIONS[field.type]) for index, field in enumerate(fields) if field.type in _CONVERSIONS
    ]

    def structure(data: dict[str, Any]) -> Any:
        values = list(map(data.get, names))
        for at, convert in conversions:
            if values[at] is not None:
                values[at] = convert(values[at])
        return cls(*values)

    return structure


def _each(cls: type) -> Callable[[list[Any]], tuple[Any, ...]]:
    structure = _structure(cls)
    return lambda elements: tuple(map(structure, elements))


_CONVERSIONS: dict[Any, Callable[[Any], Any]] = {
    # 5.0 is an integer to JSON Schema, and an int from here on.
    int: int,
    int | None: int,
    str | int: _identifier,
    str | int | None: _identifier,
    tuple[str, ...] | None: tuple,
    tuple[Any, ...] | None: tuple,
}
_CONVERSIONS[tuple[DiscoveredJob, ...]] = _each(DiscoveredJob)
_CONVERSIONS[tuple[Entity, ...]] = _each(Entity)

STRUCTURES: dict[str, Callable[[dict[str, Any]], Data]] = {
    type_: cast(Callable[[dict[str, Any]], Data], _structure(cls)) for type_, cls in INCOMING.items()
}
"""Message type → what makes its data, once its schema has accepted them."""
