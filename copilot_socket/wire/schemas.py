"""The JSON Schemas, compiled once: one validator a type that decides, and one that explains."""

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any, cast

import jsonschema_rs
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry, Resource

from copilot_socket.core.messages import ELEMENTS, INCOMING

SECRETS = frozenset({"token", "accessToken", "refreshToken"})
MAX_SHOWN = 60
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


def explaining(type_: str) -> Draft202012Validator:
    """The validator for *type_* that says what is wrong."""
    return _explaining(load()[type_])


def element(type_: str) -> dict[str, Any]:
    """The schema of one element of the list of *type_* that can do without bad ones."""
    schema = load()[type_]
    items = schema["properties"]["data"]["properties"][ELEMENTS[type_]]["items"]
    return {"$schema": schema["$schema"], "$id": f"{schema['$id']}.element", **items}


def _deciding(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    registry = jsonschema_rs.Registry([(each["$id"], each) for each in load().values()])
    return jsonschema_rs.Draft202012Validator(schema, registry=registry)


def _explaining(schema: dict[str, Any]) -> Draft202012Validator:
    resources = [(each["$id"], Resource.from_contents(each)) for each in load().values()]
    return Draft202012Validator(schema, registry=Registry().with_resources(resources))


class Schemas:
    """The schemas of what crawlers say."""

    def __init__(self) -> None:
        self.accepts: dict[str, Callable[[Any], bool]] = {type_: deciding(type_).is_valid for type_ in INCOMING}
        """Message type → what says whether a message is a valid one."""
        self._explaining = {type_: explaining(type_) for type_ in INCOMING}
        self._deciding_element = {type_: _deciding(element(type_)).is_valid for type_ in ELEMENTS}
        self._explaining_element = {type_: _explaining(element(type_)) for type_ in ELEMENTS}

    def accepts_element(self, type_: str, value: Any) -> bool:
        """Whether *value* may stand in the list of *type_* that can do without bad elements."""
        return self._deciding_element[type_](value)

    def explain(self, type_: str, message: Any) -> tuple[str, str]:
        """JSON pointer and text of what is most wrong."""
        return _describe(best_match(self._explaining[type_].iter_errors(message)))

    def explain_element(self, type_: str, value: Any) -> tuple[str, str]:
        """The same of one element; the pointer begins in the element."""
        return _describe(best_match(self._explaining_element[type_].iter_errors(value)))


def _describe(error: ValidationError) -> tuple[str, str]:
    """JSON pointer and text of *error*: what was wrong, and what is allowed."""
    kinds: list[str] = []
    while error.context:  # of several alternatives none fits: tell of the nearest
        kinds = [str(each.validator_value) for each in error.context if each.validator == "type"]
        error = best_match(error.context)
    path = list(error.absolute_path)
    hidden = any(part in SECRETS for part in path)
    shown = "the value" if hidden else _shown(error.instance)
    if error.validator == "type" and len(kinds) > 1:
        return pointer(path), _wrong_type(shown, kinds)
    return pointer(path), _text(error, shown)


def pointer(path: "list[str | int] | tuple[str | int, ...]") -> str:
    """*path* as a JSON pointer (RFC 6901); cut where a name in it is very long."""
    whole = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return whole if len(whole) <= MAX_POINTER else whole[:MAX_POINTER] + "…"


def _shown(instance: Any) -> str:
    if isinstance(instance, dict | list):
        return "an object" if isinstance(instance, dict) else "a list"
    text = json.dumps(instance)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}… ({len(text)} characters)"


def _text(error: ValidationError, shown: str) -> str:
    rule, wanted = error.validator, cast(Any, error.validator_value)
    instance = cast(Any, error.instance)
    match rule:
        case "type":
            return _wrong_type(shown, [wanted] if isinstance(wanted, str) else wanted)
        case "required":
            missing = [name for name in wanted if name not in instance]
            return f"required and missing: {', '.join(missing)}"
        case "enum":
            return f"{shown} is not allowed here: it must be one of {', '.join(map(str, wanted))}"
        case "const":
            return f"{shown} is not allowed here: it must be {wanted}"
        case "minimum" | "maximum":
            return f"{shown} is out of range: {'at least' if rule == 'minimum' else 'at most'} {wanted}"
        case "maxLength" | "maxItems" | "maxProperties":
            return f"too long: at most {wanted} are allowed, {len(instance)} were given"
        case "minLength" | "minItems":
            return f"too short: at least {wanted} needed"
        case "pattern":
            return "a string must not hold U+0000"
        case _:
            return f"{shown} does not satisfy {rule}"


def _wrong_type(shown: str, kinds: list[str]) -> str:
    return f"{shown} is not allowed here: it must be of type {' or '.join(kinds)}"
