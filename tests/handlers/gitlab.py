"""A fake GitLab with the refresh-token grant only, on 127.0.0.1."""

import itertools
import json
from typing import Any
from urllib.parse import parse_qs

from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from tests.support.crawler import reactor


class Token(Resource):
    """The token endpoint. Each grant revokes the refresh token used, as GitLab's does."""

    isLeaf = True

    def __init__(self, access: str, refresh: str) -> None:
        super().__init__()
        self.access, self.valid = access, refresh
        self.asked: list[dict[str, list[str]]] = []
        """The form of every request."""
        self.answer: tuple[int, Any] | None = None
        """Status and body to answer with instead of a pair."""
        self.retry_after: str | None = None
        self.slow = False
        self.lifetime: float | None = 7200
        self._numbers = itertools.count(2)
        self._held: list[Request] = []

    def render_POST(self, request: Request) -> Any:
        """Record the form; answer now, or at :meth:`release` if ``slow``."""
        assert request.content is not None and request.path == b"/sub/oauth/token"
        self.asked.append(parse_qs(request.content.read().decode()))
        if self.slow:
            self._held.append(request)
            request.notifyFinish().addErrback(lambda _: self._held.remove(request))
            return NOT_DONE_YET
        return self._respond(request, self.asked[-1])

    def release(self) -> None:
        """Answer the requests that wait."""
        self.slow = False
        held, self._held = self._held, []
        for request in held:
            request.write(self._respond(request, self.asked[-1]))
            request.finish()

    def _respond(self, request: Request, form: dict[str, list[str]]) -> bytes:
        request.setHeader("Content-Type", "application/json")
        if self.retry_after is not None:
            request.setHeader("Retry-After", self.retry_after)
        status, body = self.answer or self._grant(form)
        request.setResponseCode(status)
        return body if isinstance(body, bytes) else json.dumps(body).encode()

    def _grant(self, form: dict[str, list[str]]) -> tuple[int, Any]:
        if form.get("grant_type") != ["refresh_token"] or form.get("refresh_token") != [self.valid]:
            return 400, {"error": "invalid_grant", "error_description": "revoked"}
        number = next(self._numbers)
        access, self.valid = f"{self.access}-{number}", f"{self.valid.rpartition('-')[0]}-{number}"
        pair = {"access_token": access, "refresh_token": self.valid, "token_type": "Bearer", "created_at": 0}
        return 200, pair if self.lifetime is None else {**pair, "expires_in": self.lifetime}


class FakeGitLab:
    """The server. Its tokens are ``access-1``, ``refresh-1``, then ``access-2`` and so on."""

    def __init__(self, access: str = "access", refresh: str = "refresh") -> None:
        self.token = Token(access, f"{refresh}-1")
        self._site = Site(self.token)
        self._port = reactor.listenTCP(0, self._site, interface="127.0.0.1")
        self.url = f"http://127.0.0.1:{self._port.getHost().port}/sub"

    @property
    def asked(self) -> int:
        """The number of token requests received."""
        return len(self.token.asked)

    def stop(self) -> Any:
        """Stop listening."""
        return self._port.stopListening()
