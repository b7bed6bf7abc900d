"""A receiver of webhooks on 127.0.0.1, which verifies what it gets by code of its own."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site


@attrs.frozen
class Received:
    """A request."""

    id: str
    timestamp: str
    signatures: list[str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)

    def signed_by(self, secret: str) -> bool:
        """Whether one of the signatures is by *secret*."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.id}.{self.timestamp}.".encode() + self.body
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return f"v1,{expected}" in self.signatures


def answering(status: int, body: bytes = b"", **headers: str) -> Callable[[Request], Any]:
    """Answers each request alike."""

    def answer(request: Request) -> bytes:
        request.setResponseCode(status)
        for name, value in headers.items():
            request.setHeader(name.replace("_", "-"), value)
        return body

    return answer


def hanging(_request: Request) -> int:
    """Answers never."""
    return NOT_DONE_YET


class Receiver(Resource):
    """Listens; ``received`` are all requests so far, and ``answer`` makes the answer to the next ones."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.received: list[Received] = []
        self.answer: Callable[[Request], Any] = answering(204)
        self._site = Site(self)
        self._port = reactor.listenTCP(0, self._site, interface="127.0.0.1")
        self._channels: set[Any] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port.getHost().port}/hook?of=test"

    @property
    def ids(self) -> list[str]:
        """Of all messages so far."""
        return [each.id for each in self.received]

    def render_POST(self, request: Request) -> Any:
        """Keep the request, and answer."""
        assert request.content is not None

        def header(name: str) -> str:
            return request.getHeader(name) or ""

        self._channels.add(request.channel)
        signatures = header("webhook-signature").split(" ")
        body = request.content.read()
        self.received.append(Received(header("webhook-id"), header("webhook-timestamp"), signatures, body))
        return self.answer(request)

    def close(self) -> Any:
        """Hang up."""
        for channel in self._channels:
            if channel.transport is not None:
                channel.transport.abortConnection()
        return self._port.stopListening()
