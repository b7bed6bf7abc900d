"""JSON Schemas: validation, explanation of errors, and the bounds of fields."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema_rs

from copilot_socket.core.messages import ELEMENTS
from copilot_socket.core.pointers import reference_token
from copilot_socket.core.records import record
from copilot_socket.wire.explaining import explain

MAX_POINTER = 128
"""Characters of a JSON pointer in an ``error``."""


@cache
def load() -> dict[str, dict[str, Any]]:
    """All schemas, by file name without ``.json``."""
    folder = files("copilot_socket") / "schemas"
    return {
        path.name.removesuffix(".json"): json.loads(path.read_text("utf-8"))
        for path in folder.iterdir()
        if path.name.endswith(".json")
    }


class Schema:
    """One schema, compiled."""

    def __init__(self, schema: dict[str, Any]) -> None:
        # The mask keeps values, which may be long, out of the validator's own messages, which are not used.
        self._validator = jsonschema_rs.Draft202012Validator(schema, registry=_registry(), mask="")
        self.accepts = self._validator.is_valid
        """Whether a value is valid."""

    def explain(self, value: Any) -> tuple[str, str]:
        """JSON pointer and text of the first error found in *value*, which is invalid."""
        try:
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            path = _names(error.instance_path, value)
            return pointer(path), explain(error.kind, path, error.instance)
        return "", "not valid"


def of_type(type_: str) -> Schema:
    """The schema of messages of *type_*."""
    return Schema(load()[type_])


def of_element(type_: str) -> Schema:
    """The schema of one element of the list of *type_* whose bad elements are left out."""
    schema = load()[type_]
    items = schema["properties"]["data"]["properties"][ELEMENTS[type_]]["items"]
    return Schema({"$schema": schema["$schema"], "$id": f"{schema['$id']}.element", **items})


@record
class Bound:
    """The bound of a field of ``data`` that may be an object or a list.

    ``types``: those of ``object``, ``array`` and ``scalar`` that the bound applies to. ``size``: bytes as JSON; None
    for a list. ``items``: elements of a list or names of an object; None: not limited. ``required``: the field is.
    """

    types: frozenset[str]
    size: int | None
    items: int | None
    required: bool


def bounds(type_: str) -> Mapping[str, Bound | None]:
    """The bound of each field of the data of *type_*; None for fields that can be neither object nor list."""
    data = load()[type_]["properties"]["data"]
    return {name: _bound(schema, name in data.get("required", ())) for name, schema in data["properties"].items()}


def _bound(schema: Mapping[str, Any], required: bool) -> Bound | None:
    if "$ref" in schema:
        schema = load()["defs"]["$defs"][schema["$ref"].rpartition("/")[2]]
    types = schema.get("type", () if "enum" in schema else ("object", "array", "scalar"))
    bounded = frozenset({types} if isinstance(types, str) else types) & {"object", "array", "scalar"}
    items = schema.get("maxItems", schema.get("maxProperties"))
    return Bound(bounded, schema.get("x-maxBytes"), items, required) if bounded else None


@cache
def _registry() -> jsonschema_rs.Registry:
    return jsonschema_rs.Registry([(each["$id"], each) for each in load().values()])


def _names(path: list[str | int], value: Any) -> list[str | int]:
    """*path* in *value* with the original field names: the validator turns names made of digits into indices."""
    names: list[str | int] = []
    for part in path:
        name: Any = part
        if isinstance(value, dict) and isinstance(part, int):
            name = next(
                (key for key in value if key.isdecimal() and key.lstrip("0") == (str(part) if part else "")), ""
            )
        names.append(name)
        value = value.get(name) if isinstance(value, dict) else value[name]
    return names


def pointer(path: "list[str | int] | tuple[str | int, ...]") -> str:
    """*path* as a JSON pointer (RFC 6901), cut to :data:`MAX_POINTER` characters."""
    whole = "".join("/" + reference_token(str(part), MAX_POINTER) for part in path)
    return whole if len(whole) <= MAX_POINTER else whole[:MAX_POINTER] + "…"
