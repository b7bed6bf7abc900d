"""The description of the HTTP API (OpenAPI 3.1), made from its routes and the classes that their handlers use."""

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import attrs
from msgspec import UNSET
from msgspec.json import schema_components

from copilot_socket import __version__
from copilot_socket.core.describing import shown_name
from copilot_socket.http.answers import Problem
from copilot_socket.http.checks import Check, matching
from copilot_socket.http.conditions import TAG
from copilot_socket.http.endpoints import Answer, Content, Endpoint, endpoint_of
from copilot_socket.http.fields import Field, fields_of
from copilot_socket.http.gate import COOKIE, WRITING
from copilot_socket.http.messages import PROBLEM
from copilot_socket.http.routes import Route

Json = dict[str, Any]


@attrs.frozen
class Header:
    """A header of requests, and what it means."""

    check: Check
    doc: str


TAGS = rf"\*|{TAG}( *, *{TAG})*"
"""What If-Match and If-None-Match may be."""
_TAGS = Check(str, {"type": "string", "pattern": f"^({TAGS})$"})
_KEY = Header(
    matching("[ -~]", 255, "1 to 255 printable ASCII characters"),
    "A repeated request with the same key gets the same answer, for a day.",
)
_IF_MATCH = Header(_TAGS, "Change it only if its entity tag is one of these: 412 else.")
_ONLY_CREATE = Header(Check(str, {"type": "string", "const": "*"}), "Create it, and never replace one: 412 else.")
_IF_NONE_MATCH = Header(_TAGS, "Entity tags that the client has: 304 if it is one of these.")

DESCRIPTION = (
    "Times are ISO 8601: with a time zone in requests, in UTC in answers. In requests `null` is the same as leaving "
    "a field out, except where null has a meaning of its own; unknown fields and parameters are errors. Answers may "
    "get further fields. `x-maxBytes` is a bound in bytes of UTF-8, of objects as compact JSON. `x-role` is the role "
    "that a token needs; each role includes those before it: read, operate, app, admin. `x-limited` says whether "
    "tokens that are limited to certain accounts or users may use it, too."
)
_REF = "#/components/schemas/{name}"
_JSON = "application/json"
_SECURITY: Sequence[Mapping[str, Sequence[str]]] = ({"token": ()}, {"session": ()})
_PROBLEMS: Mapping[int, tuple[str, str]] = {
    400: ("BadRequest", "The request is malformed: its query string, or its body, which is not JSON."),
    401: ("Unauthorized", "Without a valid token."),
    403: ("Forbidden", "The token does not allow this: by its role, its limits, or the origin of a browser's page."),
    404: ("NotFound", "No such resource."),
    409: ("Conflict", "The state of things does not allow this."),
    412: ("PreconditionFailed", "The object is not the one that the request names: `etag` is its tag now."),
    413: ("TooLarge", "The body, or a part of it, is too large."),
    415: ("UnsupportedMediaType", "The body's content type is not application/json."),
    422: ("Invalid", "Parameters or fields are invalid: `errors` lists them."),
    429: ("TooManyRequests", "Too many requests, or wrong tokens, of a client without a valid one."),
    500: ("InternalError", "An internal error; the node's log has the details."),
    503: ("Unavailable", "The database is unavailable, or too much is in progress."),
}
"""Errors by status: name and description."""
_ANSWERS = {200: "Done.", 201: "Created.", 202: "Accepted: it is under way.", 503: "Not at present."}
_ALWAYS = {400, 429, 500, 503}
_HEADERS = {
    401: {"WWW-Authenticate": "How to authenticate."},
    415: {"Accept": "The content type."},
    429: {"Retry-After": "Seconds to wait."},
    503: {"Retry-After": "Seconds to wait."},
}


def document(routes: Iterable[Route]) -> Json:
    """The OpenAPI document of *routes*."""
    table = [(route, endpoint_of(route.handler)) for route in routes]
    paths: Json = {}
    for route, endpoint in table:
        paths.setdefault(route.pattern, {})[route.method.lower()] = _operation(route, endpoint)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "copilot-socket",
            "version": __version__,
            "summary": "A job server for GitLab crawlers.",
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": _SECURITY,
        "tags": [{"name": name} for name in dict.fromkeys(map(tag, (route for route, _ in table)))],
        "paths": paths,
        "components": {
            "schemas": _schemas([endpoint for _, endpoint in table]),
            "responses": {name: _problem(status) for status, (name, _) in _PROBLEMS.items()},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token of the HTTP API."},
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "A browser's session."},
            },
        },
    }


def tag(route: Route) -> str:
    """What *route* is about: the first part of its path, below /api/v1."""
    return route.pattern.removeprefix("/api/v1").split("/")[1].partition(".")[0]


def problems(route: Route, endpoint: Endpoint) -> list[int]:
    """The statuses of the errors that *route* may answer."""
    found = {*_ALWAYS, *endpoint.problems}
    if route.needs is not None:
        found |= {401, 403}
    if "{" in route.pattern:
        found.add(404)
    if endpoint.strict:
        found.add(422)
    if route.method in WRITING:
        found |= {413, 415}
    if route.method == "POST":  # for its Idempotency-Key
        found |= {409, 422}
    return sorted(found)


def _operation(route: Route, endpoint: Endpoint) -> Json:
    found: Json = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [tag(route)],
        "parameters": _parameters(route, endpoint),
        "responses": _responses(route, endpoint),
        "x-limited": route.within,
    }
    if endpoint.description:
        found["description"] = endpoint.description
    if endpoint.body is not None:
        found["requestBody"] = _body(endpoint.body, endpoint.most)
    if route.needs is None:
        found["security"] = ({}, *_SECURITY)
    else:
        found["x-role"] = str(route.needs)
        found |= {"security": ({}, *_SECURITY), "x-local": "open to programs on this machine"} if route.local else {}
    return found


def _parameters(route: Route, endpoint: Endpoint) -> list[Json]:
    return [
        *(_path_parameter(route, name) for name in re.findall(r"{(\w+)}", route.pattern)),
        *(_query_parameter(name, field) for name, field in fields_of(endpoint.query).items()),
        *(
            {"name": name, "in": "header", "description": header.doc, "schema": header.check.schema}
            for name, header in _own_headers(route, endpoint).items()
        ),
    ]


def _own_headers(route: Route, endpoint: Endpoint) -> dict[str, Header]:
    """The headers of requests that are read outside of the handler, or alike in all."""
    found = {}
    if route.method == "POST":
        found["Idempotency-Key"] = _KEY
    if HTTPStatus.PRECONDITION_FAILED in endpoint.problems:
        found["If-Match"] = _IF_MATCH
    if route.single:
        found["If-None-Match"] = _IF_NONE_MATCH
    if route.method == "PUT" and HTTPStatus.CREATED in endpoint.answers:
        found["If-None-Match"] = _ONLY_CREATE
    return found


def _path_parameter(route: Route, name: str) -> Json:
    whose = tag(route).removesuffix("s")
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": f"The {name} of the {whose}.",
        "schema": {"type": "string", "minLength": 1},
    }


def _query_parameter(name: str, field: Field) -> Json:
    style = {"style": "form", "explode": False} if field.check.schema["type"] == "array" else {}
    return {
        "name": name,
        "in": "query",
        "required": field.required,
        "description": field.doc,
        **style,
        "schema": {**field.check.schema, **_default(field)},
    }


def _body(body: type, most: int | None) -> Json:
    schema: Json = {"$ref": _REF.format(name=body.__name__)}
    if most is not None:
        schema = {"oneOf": [schema, {"type": "array", "maxItems": most, "items": schema}]}
    return {
        "required": any(field.required for field in fields_of(body).values()),
        "content": {_JSON: {"schema": schema}},
    }


def _responses(route: Route, endpoint: Endpoint) -> Json:
    found: Json = {str(status): _answer(status, answer) for status, answer in endpoint.answers.items()}
    if route.single:
        found["304"] = {"description": "The client has it: its entity tag is in If-None-Match."}
    for status in problems(route, endpoint):
        if status in endpoint.answers:
            found[str(status)]["content"] |= _problem(status)["content"]
        else:
            found[str(status)] = {"$ref": f"#/components/responses/{_PROBLEMS[status][0]}"}
    return found


def _answer(status: int, answer: Answer) -> Json:
    if isinstance(answer, Content):
        return {"description": answer.description, "content": {answer.media_type: {}}}
    schema = {"$ref": _REF.format(name=answer.__name__)}
    return {"description": _ANSWERS[status], "content": {_JSON: {"schema": schema}}}


def _problem(status: int) -> Json:
    schema = {"$ref": _REF.format(name=Problem.__name__)}
    found: Json = {"description": _PROBLEMS[status][1], "content": {PROBLEM.decode(): {"schema": schema}}}
    if status in _HEADERS:
        named = _HEADERS[status].items()
        found["headers"] = {name: {"description": text, "schema": {"type": "string"}} for name, text in named}
    return found


def _schemas(endpoints: Sequence[Endpoint]) -> Json:
    bodies = [endpoint.body for endpoint in endpoints if endpoint.body is not None]
    answers = [answer for each in endpoints for answer in each.answers.values() if not isinstance(answer, Content)]
    _, found = schema_components(dict.fromkeys([Problem, *answers]), ref_template=_REF)
    nested = [field.check.of for body in bodies for field in fields_of(body).values() if field.check.of is not None]
    found |= {body.__name__: body_schema(body) for body in [*bodies, *nested]}
    for schema in found.values():
        _show(schema)
    return dict(sorted(found.items()))


def _show(schema: Json) -> None:
    """Give the properties of *schema* the names under which they are shown, and make Markdown of the docstring."""
    schema["description"] = " ".join(schema["description"].replace("``", "`").split())
    if "properties" in schema:
        schema["properties"] = {shown_name(name): each for name, each in schema["properties"].items()}
        schema["required"] = [shown_name(name) for name in schema.get("required", ())]


def body_schema(body: type) -> Json:
    """The schema of an object in a request."""
    fields = fields_of(body)
    return {
        "title": body.__name__,
        "description": body.__doc__,
        "type": "object",
        "properties": {name: _property(field) for name, field in fields.items()},
        "required": [name for name, field in fields.items() if field.required],
        "additionalProperties": False,
    }


def _property(field: Field) -> Json:
    schema = {"description": field.doc, **field.check.schema}
    if "$ref" in schema:
        return (
            schema if field.required else {"description": field.doc, "anyOf": [field.check.schema, {"type": "null"}]}
        )
    if field.nullable or not field.required:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
        if not field.nullable:  # null stands for what is left out
            schema["default"] = None
    return schema


def _default(field: Field) -> Json:
    if field.default in (None, UNSET, attrs.NOTHING, frozenset()):
        return {}
    return {"default": field.default}
