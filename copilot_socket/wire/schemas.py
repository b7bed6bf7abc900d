"""The JSON Schemas, compiled once: one validator a type that decides, and one that explains."""

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, cast

import jsonschema_rs
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry, Resource

from copilot_socket.core.messages import INCOMING

SECRETS = frozenset({"token", "accessToken", "refreshToken"})
MAX_SHOWN = 60


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
    schemas = load()
    registry = jsonschema_rs.Registry([(schema["$id"], schema) for schema in schemas.values()])
    return jsonschema_rs.Draft202012Validator(schemas[type_], registry=registry)


def explaining(type_: str) -> Draft202012Validator:
    """The validator for *type_* that says what is wrong."""
    schemas = load()
    resources = [(schema["$id"], Resource.from_contents(schema)) for schema in schemas.values()]
    return Draft202012Validator(schemas[type_], registry=Registry().with_resources(resources))


class Schemas:
    """The schemas of what crawlers say."""

    def __init__(self) -> None:
        self._deciding = {type_: deciding(type_).is_valid for type_ in INCOMING}
        self._explaining = {type_: explaining(type_) for type_ in INCOMING}

    def accepts(self, type_: str, message: Any) -> bool:
        """Whether *message* is a valid *type_*."""
        return self._deciding[type_](message)

    def errors(self, type_: str, message: Any) -> Iterator[ValidationError]:
        """All that is wrong with it, outermost errors only."""
        return self._explaining[type_].iter_errors(message)

    def explain(self, type_: str, message: Any) -> tuple[str, str]:
        """JSON pointer and text of what is most wrong."""
        return describe(best_match(self.errors(type_, message)))


def describe(error: ValidationError) -> tuple[str, str]:
    """JSON pointer and text of *error*: what was wrong, and what is allowed."""
    while error.context:  # of several alternatives none fits: tell of the nearest
        error = best_match(error.context)
    path = list(error.absolute_path)
    hidden = any(part in SECRETS for part in path)
    shown = "the value" if hidden else _shown(error.instance)
    return pointer(path), _text(error, shown)


def pointer(path: "list[str | int] | tuple[str | int, ...]") -> str:
    """*path* as a JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


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
            kinds = [wanted] if isinstance(wanted, str) else wanted
            return f"{shown} is not allowed here: it must be of type {' or '.join(kinds)}"
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
