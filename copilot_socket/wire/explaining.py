"""Texts for validation errors: what was given, and what is allowed."""

import json
from collections.abc import Callable, Sequence
from typing import Any

SECRETS = frozenset({"token", "accessToken", "refreshToken"})
MAX_SHOWN = 60
"""Characters of a value that a text repeats."""

_Text = Callable[[Any, str, dict[str, Any]], str]


def explain(kind: Any, path: Sequence[str | int], value: Any) -> str:
    """Why *value*, at *path*, is invalid; *kind* is the ``kind`` of a ``jsonschema_rs.ValidationError``."""
    shown = "the value" if any(part in SECRETS for part in path) else _shown(value)
    text = _TEXTS.get(kind.name)
    return f"{shown} does not satisfy {kind.name}" if text is None else text(value, shown, kind.as_dict())


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if not isinstance(value, str) or len(value) <= MAX_SHOWN:
        return json.dumps(value)
    return f"{json.dumps(value[:MAX_SHOWN])}… ({len(value)} characters)"


def _wrong_type(_value: Any, shown: str, rule: dict[str, Any]) -> str:
    types = sorted(rule["types"], key="null".__eq__)
    return f"{shown} must be of type {' or '.join(types)}"


def _not_one_of(_value: Any, shown: str, rule: dict[str, Any]) -> str:
    return f"{shown} must be one of {', '.join(map(str, rule['options']))}"


def _too_long(value: Any, _shown: str, rule: dict[str, Any]) -> str:
    return too_long(len(value), rule["limit"])


def too_long(given: int, limit: int) -> str:
    """The text for *given* characters, elements or names, of which at most *limit* are allowed."""
    return f"too long: at most {limit} are allowed, {given} were given"


def _too_short(_value: Any, _shown: str, rule: dict[str, Any]) -> str:
    return f"too short: at least {rule['limit']} needed"


_TEXTS: dict[str, _Text] = {
    "type": _wrong_type,
    "required": lambda _value, _shown, rule: f"required and missing: {rule['property']}",
    "enum": _not_one_of,
    "const": lambda _value, shown, rule: f"{shown} must be {rule['expected_value']}",
    "minimum": lambda _value, shown, rule: f"{shown} is out of range: at least {rule['limit']}",
    "maximum": lambda _value, shown, rule: f"{shown} is out of range: at most {rule['limit']}",
    "maxLength": _too_long,
    "maxItems": _too_long,
    "maxProperties": _too_long,
    "minLength": _too_short,
    "minItems": _too_short,
    "pattern": lambda _value, _shown, _rule: "a string must not hold U+0000",
}
