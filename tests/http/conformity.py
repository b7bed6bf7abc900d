"""Whether requests that are accepted, and all answers, are as the API's description says."""

from collections.abc import Callable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs
import jsonschema_rs
import orjson

from copilot_socket.http.dashboard import dashboard
from copilot_socket.http.messages import Problem
from copilot_socket.http.openapi import document
from copilot_socket.http.routes import Route, find
from copilot_socket.http.table import Parts, routes

OPEN = {"WhyReason"}
"""Schemas of objects with fields that depend on others."""


@cache
def table() -> tuple[Route, ...]:
    """The routes; their handlers can't be called."""
    return routes(Parts(**dict.fromkeys(attrs.fields_dict(Parts))))


@cache
def description() -> Mapping[str, Any]:
    """The API's description, as it is sent."""
    return orjson.loads(orjson.dumps(document(table())))


@cache
def _closed() -> Mapping[str, Any]:
    """The same, without the freedom to add fields: those of a class are all that there are."""
    found = orjson.loads(orjson.dumps(document(table())))
    for name, schema in found["components"]["schemas"].items():
        if "properties" in schema and name not in OPEN:
            schema["additionalProperties"] = False
    return found


@cache
def _validator(schema: str) -> jsonschema_rs.Draft202012Validator:
    """Of *schema*, as JSON; what it refers to is closed."""
    whole = orjson.loads(schema) | {"components": _closed()["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def _errors(value: Any, schema: Mapping[str, Any]) -> str:
    found = _validator(orjson.dumps(schema).decode()).iter_errors(value)
    return "; ".join(f"{error.instance_path}: {error.message}" for error in found)[:2000]


def _find(method: str, path: str) -> Route | None:
    try:
        return find((*table(), *dashboard().routes()), method, path)[0]
    except Problem:
        return None


def disagreement(method: str, target: str, status: int, content_type: str, value: Any) -> str | None:
    """In what an answer differs from the description; *value* is its JSON. None: in nothing."""
    route = _find(method, urlsplit(target).path)
    schema: Any = {"$ref": "#/components/schemas/Problem"}
    if route is not None and route.file and status < HTTPStatus.BAD_REQUEST:
        return None
    if route is None and content_type.startswith("text/html") and not target.startswith("/api/"):
        return None  # what is no page, in a browser
    if route is not None and not route.file:
        operation = description()["paths"][route.pattern][route.method.lower()]
        response = operation["responses"].get(str(status))
        if response is None:
            return f"{operation['operationId']} answers {status}, which is not described"
        if "$ref" in response:
            response = description()["components"]["responses"][response["$ref"].rpartition("/")[2]]
        media_type = content_type.partition(";")[0]
        if media_type not in response["content"]:
            return f"{operation['operationId']} answers {status} with {media_type}, which is not described"
        schema = response["content"][media_type].get("schema")
        if schema is None:
            return None
    errors = _errors(value, schema)
    return f"{method} {target} answers {status} and no {schema['$ref']}: {errors}" if errors else None


def event_disagreement(type_: str, data: Any) -> str | None:
    """How the *data* of a live event differ from the API's description."""
    events = description()["paths"]["/api/v1/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    schema = events["x-events"].get(type_)
    return f"{type_} is not described" if schema is None else _errors(data, schema) or None


def wrongly_accepted(method: str, target: str, body: Any) -> str | None:
    """Why a request that was accepted should not have been, by the description; None: it should."""
    url = urlsplit(target)
    route = _find(method, url.path)
    if route is None or route.file:
        return None
    operation = description()["paths"][route.pattern][route.method.lower()]
    errors = []
    if body is not None and "requestBody" in operation:
        errors.append(_errors(body, operation["requestBody"]["content"]["application/json"]["schema"]))
    for name, text in parse_qsl(url.query, keep_blank_values=True):
        schema = next((each["schema"] for each in operation["parameters"] if each["name"] == name), {})
        kinds: Mapping[str, Callable[[str], Any]] = {
            "integer": int,
            "array": lambda given: given.split(","),
            "boolean": lambda given: given == "true",
        }
        errors.append(_errors(kinds.get(schema.get("type", ""), str)(text), schema))
    found = "; ".join(filter(None, errors))
    return f"{method} {target} accepts {body}, against its description: {found}" if found else None
