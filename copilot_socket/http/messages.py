"""Arguments and results of handlers: calls, replies, and problems (RFC 9457)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import attrs
import orjson

from copilot_socket.core.access import Grant, Within
from copilot_socket.core.actors import Actor
from copilot_socket.core.acts import HTTP, Act, Key

JSON = b"application/json"
PROBLEM = b"application/problem+json"
MAX_FAULTS = 100
"""Errors that a 422 lists; one more says how many were left out."""
_NOTHING: Mapping[Any, Any] = MappingProxyType({})


@attrs.frozen
class Call:
    """A request that has passed the access check. ``params``: the values of the ``{name}`` parts of its route."""

    params: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    """By lower-case name. Of repeated headers: lists of entity tags as one list, else the first."""
    body: bytes
    actor: Actor
    """Who asks, as far as is known."""
    grant: Grant | None
    """What the actor may do; None for a stranger, whom only some routes serve."""
    still_granted: Callable[[], bool]
    """Whether the actor may still do this, for answers that go on for long."""
    next_slice: Callable[[], Awaitable[object]]
    """Awaited between two slices of long work. Raises :class:`ClientGone`."""
    key: Key | None = None
    """The Idempotency-Key of the request, which its changes take."""

    @property
    def within(self) -> Within | None:
        """What the actor is limited to; None: nothing."""
        return None if self.grant is None else self.grant.within

    def named(self, check: Callable[[Any], Any], problem: "Problem", parameter: str = "id") -> str:
        """The path's *parameter* as *check* returns it. Raises *problem* where that raises ValueError."""
        try:
            return str(check(self.params[parameter]))
        except ValueError:
            raise problem from None

    def act(self, action: str) -> Act:
        """What the caller does, for ``audit_log``. *action*: object and verb, as ``job.cancel``."""
        return Act(HTTP, self.actor, action, key=self.key)


class ClientGone(Exception):
    """The client closed the connection before it was answered."""


@attrs.frozen
class Reply:
    """A complete answer. *secret*: it shows one, and is neither stored nor compressed.

    *kept*: it is stored with its Idempotency-Key already, if there is one, in the transaction of the change.
    *gzip*: the body in gzip, if that is at hand.
    """

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: Mapping[str, str] = _NOTHING
    secret: bool = False
    kept: bool = False
    gzip: bytes | None = None


@attrs.frozen
class Streaming:
    """An answer without an end: *begin* is called with the client once the headers are set, and writes to it."""

    begin: Callable[[Any], None]
    content_type: bytes
    headers: Mapping[str, str] = _NOTHING


@attrs.frozen
class Fault:
    """One error in a request: *path* is a JSON pointer into the body, or ``?name`` for a query parameter."""

    path: str
    message: str


class Faults:
    """The errors in a request: the first :data:`MAX_FAULTS`, and the number of all."""

    def __init__(self) -> None:
        self.count = 0
        self.listed: list[Fault] = []

    @property
    def full(self) -> bool:
        """Whether further faults are only counted, without their texts."""
        return len(self.listed) >= MAX_FAULTS

    def add(self, path: str, message: str) -> None:
        """List one more fault, or count it."""
        self.count += 1
        if not self.full:
            self.listed.append(Fault(path, message))

    def problem(self) -> "Problem":
        """A 422 that lists the faults."""
        errors = [attrs.asdict(fault) for fault in self.listed]
        omitted = self.count - len(errors)
        if omitted:
            errors.append({"path": "", "message": f"{omitted} more errors are not listed"})
        count = "1 error" if self.count == 1 else f"{self.count} errors"
        return Problem(422, f"Request is invalid: {count}", errors=errors)


class Problem(Exception):
    """An error response; *members* are further fields of the problem document."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] = _NOTHING,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.members = members

    def reply(self) -> Reply:
        """The problem document."""
        document = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.members,
        }
        return Reply(self.status, orjson.dumps(document), PROBLEM, self.headers)


class OutOfScope(Problem):
    """What a request is about is not within the limits of its token. The refusal is recorded."""


def invalid(path: str, message: str) -> Problem:
    """A 422 with a single fault."""
    faults = Faults()
    faults.add(path, message)
    return faults.problem()


def reply(document: Any, status: int = 200, **headers: str) -> Reply:
    """*document* as JSON; times are in UTC, with ``Z``."""
    return Reply(status, orjson.dumps(document, option=orjson.OPT_UTC_Z), JSON, headers)
