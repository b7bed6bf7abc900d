"""What a handler gets and gives: a call, a reply, or a problem (RFC 9457)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import attrs
import orjson

JSON = b"application/json"
PROBLEM = b"application/problem+json"
MAX_FAULTS = 100
"""Errors that a 422 lists; one more says how many were left out."""
_NOTHING: Mapping[Any, Any] = MappingProxyType({})


@attrs.frozen
class Call:
    """A request that was let in. ``params`` are the parts of the path that its pattern names."""

    params: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    """By name in lower case; of a header that came twice, the first."""
    body: bytes
    next_slice: Callable[[], Awaitable[object]]
    """Awaited between two slices of long work. Raises :class:`ClientGone`."""


class ClientGone(Exception):
    """The client closed the connection; nobody waits for the answer."""


@attrs.frozen
class Reply:
    """An answer, complete."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: Mapping[str, str] = _NOTHING


@attrs.frozen
class Streaming:
    """An answer that goes on: *begin* is given the client when the headers are set, and writes to it from then on."""

    begin: Callable[[Any], None]
    content_type: bytes
    headers: Mapping[str, str] = _NOTHING


@attrs.frozen
class Fault:
    """One thing that is wrong with a request: *path* is a JSON pointer into the body, or ``?name``."""

    path: str
    message: str


class Faults:
    """What is wrong with a request: the first :data:`MAX_FAULTS` faults, and the number of all."""

    def __init__(self) -> None:
        self.count = 0
        self.listed: list[Fault] = []

    @property
    def full(self) -> bool:
        """Whether further faults are only counted; their texts need not be made."""
        return len(self.listed) >= MAX_FAULTS

    def add(self, path: str, message: str) -> None:
        """List one more fault, or count it."""
        self.count += 1
        if not self.full:
            self.listed.append(Fault(path, message))

    def problem(self) -> "Problem":
        """422 with the faults."""
        errors = [attrs.asdict(fault) for fault in self.listed]
        omitted = self.count - len(errors)
        if omitted:
            errors.append({"path": "", "message": f"{omitted} more errors are not listed"})
        count = "1 error" if self.count == 1 else f"{self.count} errors"
        return Problem(422, f"Request is invalid: {count}", errors=errors)


class Problem(Exception):
    """An error as the client is told it; *members* are further fields of the problem document."""

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


def invalid(path: str, message: str) -> Problem:
    """422 with a single fault."""
    faults = Faults()
    faults.add(path, message)
    return faults.problem()


def reply(document: Any, status: int = 200, **headers: str) -> Reply:
    """*document* as JSON; times in UTC with a Z."""
    return Reply(status, orjson.dumps(document, option=orjson.OPT_UTC_Z), JSON, headers)
