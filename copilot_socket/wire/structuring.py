"""From validated JSON to the classes of :mod:`copilot_socket.core.messages`, mostly by cattrs."""

from collections.abc import Callable
from typing import Any, cast

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, override

from copilot_socket.core.messages import (
    INCOMING,
    Data,
    DiscoveredJob,
    Entity,
    JobCompleted,
    JobRequest,
    JobStarted,
    wire_name,
)


def _converter() -> Converter:
    """The schemas have checked everything: what is left is to name and to freeze."""
    converter = Converter(detailed_validation=False)
    # 5.0 is an integer to JSON Schema, and an int from here on.
    converter.register_structure_hook(int, lambda value, _: int(value))
    converter.register_structure_hook(bool, lambda value, _: value)
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


def by_cattrs(cls: type) -> Callable[[dict[str, Any]], Data]:
    """What makes a *cls* of its data."""
    hook = _CONVERTER.get_structure_hook(cls)
    return lambda data: cast(Data, hook(data, cls))


def _job_request(data: dict[str, Any]) -> JobRequest:
    limit = data.get("limit")
    return JobRequest(None if limit is None else int(limit))


def _job_started(data: dict[str, Any]) -> JobStarted:
    return JobStarted(data.get("entityType"), data.get("entityId"))


def _job_completed(data: dict[str, Any]) -> JobCompleted:
    files = data.get("outputFiles")
    return JobCompleted(
        data["success"], data["finalCounts"], data.get("message"), None if files is None else tuple(files)
    )


_CONVERTER = _converter()

BY_HAND: dict[str, Callable[[dict[str, Any]], Data]] = {
    "job_request": _job_request,
    "job_started": _job_started,
    "job_completed": _job_completed,
}
"""What comes with every job, in a fifth of the time that cattrs takes."""

STRUCTURES = {type_: by_cattrs(cls) for type_, cls in INCOMING.items()} | BY_HAND
"""Message type → what makes its data, once its schema has accepted them."""
