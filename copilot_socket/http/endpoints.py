"""What a handler takes and answers: said once, in its signature, and read from there.

A handler is a method with the decorator :func:`endpoint`. The request is checked before it is called::

    @endpoint({200: PauseList})
    async def list_pauses(self, call: Call, query: Listed) -> Reply:
        \"\"\"The pauses in force, oldest first.\"\"\"

    @endpoint({201: AddedPause, 202: AddedPause}, problems=(409,))
    async def add_pause(self, call: Call, body: PauseBody) -> Reply:
        \"\"\"Hold back all that a scope covers.\"\"\"

*query* and *body* are instances of their classes (:mod:`copilot_socket.http.queries`,
:mod:`copilot_socket.http.bodies`). Without *query* no parameter is accepted; without *body* no body, but for ``{}``.
The docstring's first line is the summary of the endpoint, the rest its description. The decorator names the answers
by their status: the class of a JSON document, or a :class:`Content`. *problems* are the errors that only this handler
gives: those that any request may get (400, 401, 422 …) are added in :mod:`copilot_socket.http.openapi`.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, TypeVar, get_type_hints

import attrs

from copilot_socket.http import bodies, queries
from copilot_socket.http.fields import fields_of
from copilot_socket.http.messages import Call, Reply, Streaming

R = TypeVar("R", Reply, Streaming)


@attrs.frozen
class Content:
    """An answer that is not JSON."""

    media_type: str
    description: str


@attrs.frozen
class Reads:
    """The handler reads the body itself: an object of the class *body*, or a list of up to *most* of them."""

    body: type
    most: int


Answer = type | Content


@attrs.frozen(kw_only=True)
class Endpoint:
    """What a handler takes and answers. *answers*: by status; *problems*: statuses of its own errors.

    *most*: the body may also be a list of so many objects of its class.
    """

    name: str
    summary: str
    description: str
    query: type
    body: type | None
    most: int | None
    answers: Mapping[int, Answer]
    problems: tuple[int, ...]
    strict: bool


def endpoint(
    answers: Mapping[int, Answer],
    *,
    problems: tuple[int, ...] = (),
    reads: Reads | None = None,
    strict: bool = True,
) -> Callable[[Callable[..., Awaitable[R]]], Callable[[Any, Call], Awaitable[R]]]:
    """A decorator for handlers: see the module.

    *strict* false: unknown parameters and a body are ignored, as probes may send them.
    """

    def decorate(method: Callable[..., Awaitable[R]]) -> Callable[[Any, Call], Awaitable[R]]:
        hints = get_type_hints(method)
        query: type = hints.get("query", queries.NoQuery)
        body: type | None = hints.get("body")
        body_read = body if reads is None else reads.body
        for given in (query,) if body_read is None else (query, body_read):
            fields_of(given)  # raises TypeError for a class that is not well-formed

        @wraps(method)
        async def handler(self: Any, call: Call) -> R:
            arguments: dict[str, Any] = {}
            parameters = queries.read(call, query) if strict else None
            if query is not queries.NoQuery:
                arguments["query"] = parameters
            if body is not None:
                arguments["body"] = await bodies.read(call, body)
            elif strict and reads is None:
                await bodies.no_body(call)
            return await method(self, call, **arguments)

        summary, _, description = (inspect.getdoc(method) or "").partition("\n")
        handler.endpoint = Endpoint(  # type: ignore[attr-defined]
            name=method.__name__,
            summary=summary,
            description=" ".join(description.split()),
            query=query,
            body=body_read,
            most=reads.most if reads is not None else None,
            answers=answers,
            problems=problems,
            strict=strict,
        )
        return handler

    return decorate


def endpoint_of(handler: Callable[..., Any]) -> Endpoint:
    """What *handler* takes and answers. Raises AttributeError for one without the decorator."""
    found: Endpoint = handler.endpoint  # type: ignore[attr-defined]
    return found
