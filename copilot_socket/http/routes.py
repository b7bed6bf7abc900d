"""The table of routes, and how a path finds its row."""

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import unquote

import attrs

from copilot_socket.http.messages import Call, Problem, Reply, Streaming

Handler = Callable[[Call], Awaitable[Reply | Streaming]]


@attrs.frozen
class Route:
    """*handler* answers *method* on *pattern*, whose ``{name}`` parts become parameters.

    ``public`` ones answer everybody; the others only whom the gate lets in.
    """

    method: str
    pattern: str
    handler: Handler
    public: bool = False

    def match(self, parts: Sequence[str]) -> dict[str, str] | None:
        """The parameters that *parts* of a path give, None if this is another path."""
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


def find(routes: Sequence[Route], method: str, path: str) -> tuple[Route, dict[str, str]]:
    """The route for *method* on *path* (percent-encoded) with its parameters. Raises :class:`Problem` 404 or 405."""
    try:
        # Split first: an encoded slash belongs to a part.
        parts = [unquote(part, errors="strict") for part in path.split("/")]
    except UnicodeDecodeError:
        raise _not_found() from None
    matches = [(route, params) for route in routes if (params := route.match(parts)) is not None]
    if not matches:
        raise _not_found()
    asked = "GET" if method == "HEAD" else method
    for route, params in matches:
        if route.method == asked:
            return route, params
    allowed = {route.method for route, _ in matches}
    allowed |= {"HEAD"} if "GET" in allowed else set()
    allow = ", ".join(sorted(allowed))
    raise Problem(405, f"Method not allowed; use {allow}", headers={"Allow": allow})


def _not_found() -> Problem:
    return Problem(404, "No such resource")
