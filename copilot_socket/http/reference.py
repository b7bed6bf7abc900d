"""The reference of the HTTP API for people, docs/api.md: ``python -m copilot_socket.http.reference >docs/api.md``."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from copilot_socket.http.fields import fields_of
from copilot_socket.http.openapi import document
from copilot_socket.http.queries import Listed
from copilot_socket.http.table import Parts, routes

Json = Mapping[str, Any]
_JSON = "application/json"
_INTRODUCTION = """\
# The HTTP API: reference

Every endpoint of the HTTP port, its parameters, and the objects that it takes and returns. [http.md](http.md)
explains how they work together, with examples. Programs read the same from `GET /api/v1/openapi.json` (OpenAPI 3.1).

This page is made from the code: `python -m copilot_socket.http.reference >docs/api.md`.

- **Role**: what the token needs at least, of `read`, `operate`, `app`, `admin` ([access](http.md#access)). *Limited*:
  also for tokens that are limited to certain accounts or users, within their limits.
- **Errors** are [`Problem`](#problem)s. Any request may be answered with 400, 429, 500 or 503; one that needs a role
  also with 401 or 403; one whose path names something with 404; wrong parameters or fields with 422; a body with 413
  or 415. Listed are only further ones.
- **Requests**: null is the same as leaving a field out, unless it is among the field's values. Unknown fields and
  parameters are errors. Names in a path are percent-encoded, and lists in a query are separated by commas.
- **Answers** may get further fields.
- **Pages** of lists: `limit` rows, 1 to 1,000, by default 100, after the `cursor` that was `next` of the page before;
  `next` is null on the last one. With `total=true` also `total`, the rows of all pages, and whether they were counted
  (`total_exact`).
- **Repetitions**: each POST takes the header `Idempotency-Key`; a repeated request with the same key gets the same
  answer, for a day. **Entity tags**: GET of a single object has an `ETag` and takes `If-None-Match` (304).
- Times are ISO 8601: from 2000 to 2199 with a time zone in requests, in UTC in answers. Sizes are bytes of UTF-8,
  those of objects as compact JSON.
"""
_COMMON = (*fields_of(Listed), "Idempotency-Key", "If-None-Match")
"""Parameters that are explained in the introduction."""


def table() -> Json:
    """The document of all routes; none of them can be called."""
    nothing: Any = dict.fromkeys(attrs.fields_dict(Parts))
    return document(routes(Parts(**nothing)))


def page(api: Json) -> str:
    """The page for the OpenAPI document *api*."""
    return "\n".join([_INTRODUCTION, *_endpoints(api), "## Objects", "", *_objects(api)]).rstrip("\n") + "\n"


def _endpoints(api: Json) -> Iterator[str]:
    for tag in api["tags"]:
        yield f"## {tag['name'].capitalize()}\n"
        for path, methods in api["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"]:
                    yield from _endpoint(f"{method.upper()} {path}", operation, api)


def _endpoint(name: str, operation: Json, api: Json) -> Iterator[str]:
    yield f"### `{name}`\n"
    yield " ".join(filter(None, (operation["summary"], operation.get("description")))) + "\n"
    role = f"Role `{operation['x-role']}`" if "x-role" in operation else "Open to all"
    role += ", limited" if operation["x-limited"] else ""
    role += f"; {operation['x-local']}" if "x-local" in operation else ""
    yield f"{role}.\n"
    parameters = [each for each in operation["parameters"] if each["in"] != "path" and each["name"] not in _COMMON]
    if parameters:
        yield from ("| parameter | value | meaning |", "| --- | --- | --- |")
        for each in parameters:
            name = f"header `{each['name']}`" if each["in"] == "header" else f"`{each['name']}`"
            yield _row(name, _given(each["schema"], each.get("required")), each["description"])
        yield ""
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"][_JSON]["schema"]
        optional = "" if operation["requestBody"]["required"] else ", which may be left out"
        yield f"Body: {' or '.join(map(_words, schema.get('oneOf', [schema])))}{optional}.\n"
    yield "Answers: " + "; ".join(_answers(operation, api["components"]["schemas"])) + ".\n"


def _answers(operation: Json, schemas: Json) -> Iterator[str]:
    by_content: dict[str, list[str]] = {}
    for status, response in operation["responses"].items():
        for media_type, content in response.get("content", {}).items():
            if "problem" not in media_type:
                words = _answer(content["schema"], schemas) if "schema" in content else f"`{media_type}`"
                by_content.setdefault(words, []).append(status)
    yield from (f"{' or '.join(statuses)} {words}" for words, statuses in by_content.items())
    if "404" in operation["responses"] and not any(each["in"] == "path" for each in operation["parameters"]):
        yield "404"
    if "409" in operation["responses"]:
        yield "409"


def _answer(reference: Json, schemas: Json) -> str:
    rows = _rows_of(schemas[reference["$ref"].rpartition("/")[2]])
    if rows is None:
        return _words(reference)
    [(name, schema)] = rows.items()
    return f"a page of `{name}`, {_words(schema)}"


def _rows_of(schema: Json) -> Json | None:
    """The property of a page of a list that holds the rows, by name; None: it is none."""
    properties = schema.get("properties", {})
    if "next" not in properties:
        return None
    return {name: each for name, each in properties.items() if name not in ("next", "total", "total_exact")}


def _objects(api: Json) -> Iterator[str]:
    for name, schema in api["components"]["schemas"].items():
        if _rows_of(schema) is not None:
            continue
        yield f"### `{name}`\n"
        yield f"{schema['description']}\n"
        if "enum" in schema:
            yield f"{_words(schema)}\n"
            continue
        yield from ("| field | value | meaning |", "| --- | --- | --- |")
        for field, each in schema["properties"].items():
            words = _given if schema.get("additionalProperties") is False else _answered
            value = words(each, field in schema.get("required", ()))
            yield _row(f"`{field}`", value, each.get("description", ""))
        yield ""


def _given(schema: Json, required: bool | None) -> str:
    """The values of a parameter, or of a field in a request."""
    words = _words(schema)
    if "default" in schema:  # null, if that stands for what is left out
        default = schema["default"]
        words = words.removesuffix(" or null") if default is None else f"{words}, by default {default}"
    return f"{words}, required" if required else words


def _answered(schema: Json, required: bool) -> str:
    """The values of a field in an answer."""
    return _words(schema) if required else f"{_words(schema)}; may be missing"


def _words(schema: Json) -> str:
    """The values that *schema* allows."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[`{name}`](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(map(_words, schema["anyOf"]))
    types = schema.get("type", "string")
    if isinstance(types, list):
        return " or ".join(_words({**schema, "type": each}) for each in types)
    if "enum" in schema and types != "null":
        return ", ".join(f"`{each}`" for each in schema["enum"] if each is not None)
    return _WORDS.get(types, lambda _: str(types))(schema)


def _string(schema: Json) -> str:
    known = {"date-time": "time", "uri": "URL", "cursor": "cursor"}.get(schema.get("format", ""))
    if known is not None:
        return known
    longest = schema.get("x-maxBytes", schema.get("maxLength"))
    unit = "bytes" if "x-maxBytes" in schema else "characters"
    return "string" if longest is None else f"string of 1 to {longest:,} {unit}"


def _integer(schema: Json) -> str:
    if "minimum" not in schema:
        return "integer"
    return f"integer from {schema['minimum']:,} to {schema['maximum']:,}"


def _array(schema: Json) -> str:
    most = f"up to {schema['maxItems']:,} " if "maxItems" in schema else ""
    return f"list of {most}{_words(schema['items'])}"


def _object(schema: Json) -> str:
    values = schema.get("additionalProperties")
    bound = f" of up to {schema['x-maxBytes']:,} bytes" if "x-maxBytes" in schema else ""
    return f"object of {_words(values)}s by name" if isinstance(values, dict) else f"object{bound}"


_WORDS = {"string": _string, "integer": _integer, "array": _array, "object": _object}


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    sys.stdout.write(page(table()))
