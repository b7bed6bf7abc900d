"""What is wrong with a message that the schemas refuse. Slow to import and to ask: only for what is refused."""

import json
from functools import cache
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry, Resource

from copilot_socket.wire.schemas import element, load, pointer

SECRETS = frozenset({"token", "accessToken", "refreshToken"})
MAX_SHOWN = 60


@cache
def explaining(type_: str) -> Draft202012Validator:
    """The validator for *type_* that says what is wrong."""
    return _validator(load()[type_])


@cache
def explaining_element(type_: str) -> Draft202012Validator:
    """The same for one element of the list of *type_* that can do without bad ones."""
    return _validator(element(type_))


def explain(type_: str, message: Any) -> tuple[str, str]:
    """JSON pointer and text of what is most wrong."""
    return _describe(best_match(explaining(type_).iter_errors(message)))


def explain_element(type_: str, value: Any) -> tuple[str, str]:
    """The same of one element; the pointer begins in the element."""
    return _describe(best_match(explaining_element(type_).iter_errors(value)))


def _validator(schema: dict[str, Any]) -> Draft202012Validator:
    resources = [(each["$id"], Resource.from_contents(each)) for each in load().values()]
    return Draft202012Validator(schema, registry=Registry().with_resources(resources))


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
