"""The JSON Schemas, and the validators that decide by them: one a type, compiled once."""

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema_rs

from copilot_socket.core.messages import ELEMENTS, INCOMING

MAX_POINTER = 1024


@cache
def load() -> dict[str, dict[str, Any]]:
    """Every schema by its file's name without ``.json``."""
    folder = files("copilot_socket") / "schemas"
    return {
        path.name.removesuffix(".json"): json.loads(path.read_text("utf-8"))
        for path in folder.iterdir()
        if path.name.endswith(".json")
    }


def deciding(type_: str) -> jsonschema_rs.Draft202012Validator:
    """The fast validator for *type_*."""
    return _deciding(load()[type_])


def element(type_: str) -> dict[str, Any]:
    """The schema of one element of the list of *type_* that can do without bad ones."""
    schema = load()[type_]
    items = schema["properties"]["data"]["properties"][ELEMENTS[type_]]["items"]
    return {"$schema": schema["$schema"], "$id": f"{schema['$id']}.element", **items}


def _deciding(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schema, registry=_registry())


@cache
def _registry() -> jsonschema_rs.Registry:
    return jsonschema_rs.Registry([(each["$id"], each) for each in load().values()])


class Schemas:
    """The schemas of what crawlers say."""

    def __init__(self) -> None:
        self.accepts: dict[str, Callable[[Any], bool]] = {type_: deciding(type_).is_valid for type_ in INCOMING}
        """Message type → what says whether a message is a valid one."""
        self._deciding_element = {type_: _deciding(element(type_)).is_valid for type_ in ELEMENTS}

    def accepts_element(self, type_: str, value: Any) -> bool:
        """Whether *value* may stand in the list of *type_* that can do without bad elements."""
        return self._deciding_element[type_](value)


def pointer(path: "list[str | int] | tuple[str | int, ...]") -> str:
    """*path* as a JSON pointer (RFC 6901); cut where a name in it is very long."""
    whole = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return whole if len(whole) <= MAX_POINTER else whole[:MAX_POINTER] + "…"
