"""Routes, and finding the one for a request."""

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import unquote

import attrs

from copilot_socket.core.access import Role
from copilot_socket.http.messages import Call, Problem, Reply, Streaming

Handler = Callable[[Call], Awaitable[Reply | Streaming]]


@attrs.frozen
class Route:
    """*handler* answers *method* on *pattern*, whose ``{name}`` parts become parameters.

    *needs*: the role that it takes; None for everybody. *within*: whether it also serves tokens that are limited to
    certain accounts or users, and keeps within them. *local*: whether it serves everybody on this machine.
    *file*: it answers a file of the dashboard, with its entity tag, whatever the query: that is for the page.
    *by_code*: whether the code of a one-time link is good for it. *personal*: its answer is about who asks.
    """

    method: str
    pattern: str
    handler: Handler
    needs: Role | None = Role.READ
    within: bool = False
    local: bool = False
    file: bool = False
    by_code: bool = False
    personal: bool = False

    @property
    def single(self) -> bool:
        """Whether it shows a single object."""
        return self.method == "GET" and "{" in self.pattern and not self.file

    @property
    def shared(self) -> bool:
        """Whether its answer also serves others without limits, or the same limited token."""
        return self.method == "GET" and self.needs is not None and not (self.personal or self.local)

    def match(self, parts: Sequence[str]) -> dict[str, str] | None:
        """The parameters in *parts* of a path; None if the path does not match."""
        mine = self.pattern.split("/")
        if len(mine) != len(parts):
            return None
        params: dict[str, str] = {}
        for pattern, part in zip(mine, parts, strict=True):
            if pattern.startswith("{") and part:
                params[pattern[1:-1]] = part
            elif pattern != part:
                return None
        return params


Found = tuple[Route, dict[str, str]]
"""A route and its parameters."""


def find(routes: Sequence[Route], method: str, path: str) -> Found:
    """The route for *method* on *path* (percent-encoded) with its parameters. Raises :class:`Problem` 404 or 405."""
    try:
        # Split before decoding: an encoded slash is part of a name.
        parts = [unquote(part, errors="strict") for part in path.split("/")]
    except UnicodeDecodeError:
        raise _not_found() from None
    matches = [(route, params) for route in routes if (params := route.match(parts)) is not None]
    if not matches:
        raise _not_found()
    # A name of the API is no id: /jobs/bulk is not the job "bulk".
    matches = [(route, params) for route, params in matches if not params] or matches
    method = "GET" if method == "HEAD" else method
    for route, params in matches:
        if route.method == method:
            return route, params
    allowed = {route.method for route, _ in matches}
    allowed |= {"HEAD"} if "GET" in allowed else set()
    allow = ", ".join(sorted(allowed))
    raise Problem(405, f"Method not allowed; use {allow}", headers={"Allow": allow})


def _not_found() -> Problem:
    return Problem(404, "No such resource")
