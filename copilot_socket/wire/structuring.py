"""From validated JSON to the classes of :mod:`copilot_socket.core.messages`, by cattrs."""

from collections.abc import Callable
from typing import Any, cast

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, override

from copilot_socket.core.messages import INCOMING, Data, DiscoveredJob, Entity, wire_name


def _converter() -> Converter:
    """The schemas have checked everything: what is left is to name and to freeze."""
    converter = Converter(detailed_validation=False)
    # 5.0 is an integer to JSON Schema, and an int from here on.
    converter.register_structure_hook(int, lambda value, _: int(value))
    converter.register_structure_hook(float, lambda value, _: value)
    converter.register_structure_hook(str | int, lambda value, _: _identifier(value))
    converter.register_structure_hook(str | int | None, lambda value, _: _identifier(value))
    for cls in (DiscoveredJob, Entity, *INCOMING.values()):
        names = {field.name: override(rename=wire_name(cls, field.name)) for field in attrs.fields(cls)}
        converter.register_structure_hook(
            cls,
            make_dict_structure_fn(cls, converter, _cattrs_detailed_validation=False, **names),  # type: ignore[arg-type]
        )
    return converter


def _identifier(value: Any) -> Any:
    return int(value) if isinstance(value, float) else value


def _structure(cls: type) -> Callable[[dict[str, Any]], Data]:
    hook = _CONVERTER.get_structure_hook(cls)
    return lambda data: cast(Data, hook(data, cls))


_CONVERTER = _converter()

STRUCTURES = {type_: _structure(cls) for type_, cls in INCOMING.items()}
"""Message type → what makes its data, once its schema has accepted them."""
