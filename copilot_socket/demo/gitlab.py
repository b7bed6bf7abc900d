"""A made-up GitLab on loopback: API v4 over a world, and ``/oauth/token``.

As a process, ``python -m copilot_socket.demo.gitlab --port 0`` prints one line of JSON with its ``url``, an
``access_token`` that has already expired and the ``refresh_token`` for a new pair; then it serves until SIGTERM.
``/demo/counts`` returns, without a token, the number of entities.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater, react
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from copilot_socket.clock import make_steady
from copilot_socket.demo.api import Answer, answer
from copilot_socket.demo.oauth import TokenBook
from copilot_socket.demo.throttle import Throttle
from copilot_socket.demo.world import SHAPES, World, generate

GRANT_REFUSED = (
    "The provided authorization grant is invalid, expired, revoked, does not match the redirection URI "
    "used in the authorization request, or was issued to another client."
)
GRANT_UNKNOWN = "The authorization grant type is not supported by the authorization server."
TOKEN_PROBLEMS: Mapping[str, str] = {
    "expired": "Token is expired. You can either do re-authorization or token refresh.",
    "revoked": "Token was revoked. You have to re-authorize from the user.",
}


class GitLab(Resource):
    """The web resource. *latency*: seconds by which every response is delayed; *throttle*: its rate limit, if any."""

    isLeaf = True

    def __init__(
        self,
        world: World,
        tokens: TokenBook,
        reactor: IReactorTime,
        latency: float = 0.0,
        throttle: Throttle | None = None,
    ) -> None:
        super().__init__()
        self.world = world
        self.tokens = tokens
        self.requests = 0
        self._reactor = reactor
        self._latency = latency
        self.throttle = throttle

    def render(self, request: Request) -> int:
        """Respond after the latency, unless the client has disconnected."""
        self.requests += 1
        found = self._answer(request)
        if self._latency <= 0:
            _send(request, found)
            return NOT_DONE_YET
        waiting: Deferred[None] = deferLater(self._reactor, self._latency, _send, request, found)
        waiting.addErrback(Failure.trap, CancelledError)
        request.notifyFinish().addErrback(lambda _: waiting.cancel())
        return NOT_DONE_YET

    def _answer(self, request: Request) -> Answer:
        path = request.path.decode("ascii", "replace")
        if path == "/oauth/token":
            return self._token(request)
        if path == "/demo/counts":
            return Answer(200, self.account())
        headers: Mapping[str, str] = {}
        if self.throttle is not None:
            allowed, headers = self.throttle.count(time.time())
            if not allowed:
                return Answer(429, {"message": "429 Too Many Requests"}, headers)
        refusal = self._refuse(request.getHeader("authorization") or "")
        if refusal is not None:
            return refusal
        if request.method != b"GET":
            return Answer(405, {"error": "405 Not Allowed"})
        host = request.getHeader("host") or "127.0.0.1"
        found = answer(self.world, f"http://{host}{path}", path, _fields(request))
        return attrs.evolve(found, headers={**headers, **found.headers})

    def account(self) -> dict[str, object]:
        """The number of entities by type, of token refreshes and of requests."""
        return {
            "counts": self.world.counts(),
            "refreshes": self.tokens.refreshes,
            "requests": self.requests,
        }

    def _refuse(self, authorization: str) -> Answer | None:
        """A 401, unless the token is valid."""
        scheme, _, token = authorization.partition(" ")
        state = self.tokens.state(token.strip()) if scheme.lower() == "bearer" else "unknown"
        if state == "valid":
            return None
        if state == "unknown":
            return Answer(401, {"message": "401 Unauthorized"})
        text = TOKEN_PROBLEMS[state]
        challenge = f'Bearer realm="Protected by OAuth 2.0", error="invalid_token", error_description="{text}"'
        body = {"error": "invalid_token", "error_description": text}
        return Answer(401, body, {"WWW-Authenticate": challenge})

    def _token(self, request: Request) -> Answer:
        """The refresh-token grant."""
        if request.method != b"POST":
            return Answer(404, {"error": "404 Not Found"})
        form = _fields(request) or _json_fields(request)
        if form.get("grant_type") != "refresh_token":
            return Answer(400, {"error": "unsupported_grant_type", "error_description": GRANT_UNKNOWN})
        pair = self.tokens.refresh(form.get("refresh_token", ""))
        if pair is None:
            return Answer(400, {"error": "invalid_grant", "error_description": GRANT_REFUSED})
        body = {
            "access_token": pair.access_token,
            "token_type": "Bearer",
            "expires_in": pair.lifetime,
            "refresh_token": pair.refresh_token,
            "scope": "read_api",
            "created_at": int(pair.created_at),
        }
        return Answer(200, body)


def _fields(request: Request) -> dict[str, str]:
    """The query's fields, or a form's."""
    arguments = request.args or {}
    return {
        name.decode("utf-8", "replace"): values[0].decode("utf-8", "replace") for name, values in arguments.items()
    }


def _json_fields(request: Request) -> dict[str, str]:
    try:
        body = json.loads(request.content.read() if request.content else b"")
    except ValueError:
        return {}
    return {name: value for name, value in body.items() if isinstance(value, str)} if isinstance(body, dict) else {}


def _send(request: Any, found: Answer) -> None:
    body = json.dumps(found.body, ensure_ascii=False).encode()
    request.setResponseCode(found.status)
    request.setHeader("Content-Type", "application/json")
    for name, value in found.headers.items():
        request.setHeader(name, value)
    request.setHeader("Content-Length", str(len(body)))
    request.write(body)
    request.finish()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="copilot_socket.demo.gitlab", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 means any free port")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--groups", type=int, default=3, help="number of top-level groups")
    parser.add_argument("--size", choices=tuple(SHAPES), default="small")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds by which each response is delayed")
    parser.add_argument("--requests", type=int, help="requests allowed a minute; without it any number")
    return parser.parse_args()


def main() -> None:
    """Serve until SIGTERM."""
    arguments = _arguments()
    world = generate(arguments.seed, arguments.groups, arguments.size)

    async def serve(reactor: Any) -> None:
        make_steady(reactor)
        tokens = TokenBook(time.time, arguments.seed)
        throttle = None if arguments.requests is None else Throttle(arguments.requests, 60.0)
        site = Site(GitLab(world, tokens, reactor, arguments.latency, throttle))
        port = reactor.listenTCP(arguments.port, site, interface="127.0.0.1")
        pair = tokens.issue(expired=True)
        line = {
            "url": f"http://127.0.0.1:{port.getHost().port}",
            "access_token": pair.access_token,
            "refresh_token": pair.refresh_token,
        }
        # The parent may send SIGTERM after reading the line: first let the reactor install its handlers.
        await deferLater(reactor, 0)
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        await Deferred()

    react(lambda reactor: Deferred.fromCoroutine(serve(reactor)))


if __name__ == "__main__":
    main()
