"""From validated JSON to the classes of :mod:`copilot_socket.core.messages`, mostly by cattrs."""

import re
from collections.abc import Callable
from typing import Any, cast

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, override

from copilot_socket.core.messages import (
    INCOMING,
    Data,
    Discovery,
    JobCompleted,
    JobRequest,
    JobsDiscovered,
    JobStarted,
    Json,
    wire_name,
)
from copilot_socket.core.reports import Found

_GLOBAL_ID = re.compile(r"(?:gid://gitlab/\w+/)?([0-9]{1,18})", re.ASCII)


def _converter() -> Converter:
    """A converter without checks of its own, since the schemas have validated the data."""
    converter = Converter(detailed_validation=False)
    # JSON Schema counts 5.0 as an integer.
    converter.register_structure_hook(int, lambda value, _: int(value))
    converter.register_structure_hook(bool, lambda value, _: value)
    converter.register_structure_hook(float, lambda value, _: value)
    for cls in INCOMING.values():
        names = {field.name: override(rename=wire_name(cls, field.name)) for field in attrs.fields(cls)}
        converter.register_structure_hook(
            cls,
            make_dict_structure_fn(cls, converter, _cattrs_detailed_validation=False, **names),  # type: ignore[arg-type]
        )
    return converter


def by_cattrs(cls: type) -> Callable[[dict[str, Any]], Data]:
    """The function that converts data to *cls*."""
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


def found_job(element: Json) -> Found:
    """The discovery in an element of ``discovered_jobs``."""
    priority = element.get("priority")
    return Found(
        element["job_type"],
        element["namespace_path"],
        element["entity_name"],
        numeric_id(element["entity_id"]),
        None if priority is None else int(priority),
    )


def found_entity(entity_type: str, element: Json) -> Found:
    """The discovery in an element of ``entities``, in a ``discovery`` of *entity_type*."""
    return Found(entity_type, element["path"], element["name"], numeric_id(element["id"]))


def numeric_id(value: str | float) -> int | None:
    """GitLab's numeric id in *value*: a number, digits, or a global id (``gid://gitlab/Group/7``); else None."""
    match = _GLOBAL_ID.fullmatch(value if isinstance(value, str) else str(int(value)))
    return int(match[1]) if match else None


def _jobs_discovered(data: Json) -> JobsDiscovered:
    return JobsDiscovered(tuple(map(found_job, data["discovered_jobs"])), data.get("discovery_summary"))


def _discovery(data: Json) -> Discovery:
    entity_type = data["entityType"]
    return Discovery(entity_type, tuple([found_entity(entity_type, element) for element in data["entities"]]))


_CONVERTER = _converter()

BY_HAND: dict[str, Callable[[dict[str, Any]], Data]] = {
    "job_request": _job_request,
    "job_started": _job_started,
    "job_completed": _job_completed,
}
"""The messages of every job, converted in a fifth of the time that cattrs takes."""

STRUCTURES: dict[str, Callable[[Json], Data]] = {
    **{type_: by_cattrs(cls) for type_, cls in INCOMING.items() if cls not in (JobsDiscovered, Discovery)},
    **BY_HAND,
    "jobs_discovered": _jobs_discovered,
    "discovery": _discovery,
}
"""Message type → the function that converts its validated data."""
