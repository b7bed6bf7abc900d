"""The types of the JavaScript client: ``python -m copilot_socket.http.typescript >copilot_socket/web/types.d.ts``."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from copilot_socket.http.reference import table

Json = Mapping[str, Any]

_HEAD = """\
// Made from the description of the API (GET /api/v1/openapi.json) by copilot_socket/http/typescript.py: don't edit.

export interface Options {
  /** Ends the request, with all its repetitions: `AbortSignal.timeout(5000)`, for example. */
  signal?: AbortSignal;
  /** Of a POST, instead of one that is made for it. null: it has none, and is not repeated. */
  idempotencyKey?: string | null;
  /** Change the object only if it is still the one with this entity tag (`etagOf`): 412 else. */
  ifMatch?: string;
  ifNoneMatch?: string;
  /** Of a GET: an answer will do that the server gave to somebody up to so many seconds ago. */
  maxAge?: number;
}

/** What a method is called with. */
export type Given<K extends keyof Operations> = [...Operations[K]["given"], options?: Options];

export type Method<K extends keyof Operations> = (...given: Given<K>) => Promise<Operations[K]["answer"]>;

/** The methods of a resource. Where it has a list, `all` gives its rows, and reads the pages as they are needed. */
export type Resource<T extends Record<string, keyof Operations>> = { [M in keyof T]: Method<T[M]> } & (
  T extends { list: infer K extends keyof Operations }
    ? { all: (...given: Given<K>) => Rows<Operations[K]["answer"]> }
    : {}
);

/** An operation on many jobs, or with `dry_run` only what it would be about. */
export interface Bulk {
  (body: BulkBody & { dry_run: true }, options?: Options): Promise<BulkPreview>;
  (body: BulkBody & { dry_run?: false | null }, options?: Options): Promise<BulkOperation>;
}

export type Rows<Page> = AsyncGenerator<Extract<Page[keyof Page], readonly any[]>[number], void, void>;

/** One value, or several of which one is enough. */
export type Some<T> = T | readonly T[];

export type Nothing = Record<string, never>;
"""
_PREFIX = "/api/v1"
_SEVERAL = "x-several"
"""In the schemas of lists in a query, which are sent as values separated by commas: a single one may stand alone."""
_NAMES = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def declarations(description: Json) -> str:
    """The text: an interface for each schema, and ``Operations``, what each method and path takes and answers."""
    schemas = [_schema(name, schema) for name, schema in description["components"]["schemas"].items()]
    operations = [
        _operation(method.upper(), path, operation)
        for path, methods in description["paths"].items()
        if path.startswith(_PREFIX)
        for method, operation in methods.items()
    ]
    events = [event for _, each in _contents(description) for event in each.get("x-events", {}).items()]
    about = _comment("Each method and path below /api/v1: what it is given in parts of its path, query or body.", "")
    return "\n".join(
        [_HEAD, *schemas, _live_event(dict(events)), f"{about}export interface Operations {{", *operations, "}\n"]
    )


def _contents(description: Json) -> Iterator[tuple[str, Json]]:
    """Media types and contents of all answers."""
    for methods in description["paths"].values():
        for operation in methods.values():
            for response in operation["responses"].values():
                yield from response.get("content", {}).items()


def _live_event(events: Json) -> str:
    """The type of live events: by ``type`` their data; the id is the last one. What is lost is told otherwise."""
    lines = [
        f'  | {{ type: "{name}"; data: {_type(schema)}; id: string }}'
        for name, schema in events.items()
        if name != "lost"
    ]
    return "\n".join(["export type LiveEvent =", *lines]) + ";\n"


def _schema(name: str, schema: Json) -> str:
    about = _comment(schema.get("description"), "")
    if "properties" in schema:
        return f"{about}export interface {name} {_object(schema, '')}\n"
    return f"{about}export type {name} = {_type(schema)};\n"


def _object(schema: Json, indent: str) -> str:
    required = schema.get("required", ())
    lines = ["{"]
    for name, each in schema["properties"].items():
        comment = _comment(each.get("description"), f"{indent}  ")
        lines.append(f"{comment}{indent}  {name}{'' if name in required else '?'}: {_type(each, f'{indent}  ')};")
    return "\n".join([*lines, f"{indent}}}"])


def _type(schema: Json, indent: str = "") -> str:
    """The type of the values that *schema* allows, as far as TypeScript can say it."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "const" in schema or "enum" in schema:
        return _union(json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return _union(_type(each, indent) for each in schema[several])
    kinds = schema.get("type", ())
    return _union(_of_kind(kind, schema, indent) for kind in ([kinds] if isinstance(kinds, str) else kinds)) or "any"


def _of_kind(kind: str, schema: Json, indent: str) -> str:
    if kind == "array":
        items = _type(schema.get("items", {}), indent)
        return f"Some<{items}>" if schema.get(_SEVERAL) else f"({items})[]" if " | " in items else f"{items}[]"
    if kind == "object" and "properties" in schema:
        return _object(schema, indent)
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"Record<string, {_type(values, indent) if isinstance(values, Mapping) else 'any'}>"
    return _NAMES[kind]


def _union(types: Iterator[str]) -> str:
    return " | ".join(dict.fromkeys(types))


def _operation(method: str, path: str, operation: Json) -> str:
    given = [f"{name}: string" for name in re.findall(r"{(\w+)}", path)]
    query = [each for each in operation["parameters"] if each["in"] == "query"]
    body = operation.get("requestBody")
    if body:
        schema = body["content"]["application/json"]["schema"]
        given.append(f"body{'' if body['required'] else '?'}: {_type(schema)}")
    elif query:
        given.append(f"query{'' if any(each['required'] for each in query) else '?'}: {_query(query)}")
    else:
        given.append("nothing?: Nothing")
    about = _comment(f"{operation['summary']} {operation.get('description', '')}".strip(), "  ")
    answer = _union(_answers(operation))
    return f'{about}  "{method} {path.removeprefix(_PREFIX)}": {{ given: [{", ".join(given)}]; answer: {answer} }};'


def _query(parameters: list[Json]) -> str:
    properties = {
        each["name"]: each["schema"] | {"description": each["description"], _SEVERAL: True} for each in parameters
    }
    return _object(
        {"properties": properties, "required": [each["name"] for each in parameters if each["required"]]}, "  "
    )


def _answers(operation: Json) -> Iterator[str]:
    """The types of what is answered where there is no error."""
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            for content in response["content"].values():
                yield _type(content["schema"]) if "schema" in content else "unknown"


def _comment(text: str | None, indent: str) -> str:
    return f"{indent}/** {text.replace('*/', '* /')} */\n" if text else ""


if __name__ == "__main__":
    sys.stdout.write(declarations(table()))
