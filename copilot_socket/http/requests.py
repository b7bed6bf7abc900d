"""An HTTP request that is refused before its body is read, and never holds more of it than allowed."""

# twisted.web's methods have no annotations.
# mypy: allow-untyped-calls

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from io import BytesIO
from typing import Any, Protocol, cast

from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.web import http, server

from copilot_socket.http.gate import Knock
from copilot_socket.http.messages import Call, Problem, Reply, Streaming

MAX_BODY = 16 * 1024 * 1024
LINGER = 5.0
"""Seconds in which a client that was refused early may read why, before the connection is cut."""


class Application(Protocol):
    """What answers requests."""

    reactor: IReactorTime

    def refuse_early(self, knock: Knock) -> Problem | None:
        """Why a request with a body is not worth reading."""

    def answer(self, request: "Request") -> None:
        """Answer a complete request, now or later, with :meth:`Request.reply`."""


class Request(server.Request):
    """Collects at most 16 MiB of body. What is too large or not let in is answered at once and then thrown away."""

    application: Application
    content: BytesIO
    _refused = False
    _finished = False
    _headers: Mapping[str, Sequence[str]] | None = None

    def gotLength(self, length: int | None) -> None:
        """The headers are complete; *length* is None for a chunked body."""
        self.content = BytesIO()
        if length == 0:
            return
        problem = self.application.refuse_early(self.knock(""))
        if problem is None and length is not None and length > MAX_BODY:
            problem = _too_large()
        if problem is not None:
            self._refuse(problem)

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body."""
        if self._refused:
            return
        if self.content.tell() + len(data) > MAX_BODY:
            self._refuse(_too_large())
        else:
            self.content.write(data)

    def process(self) -> None:
        """The request is complete."""
        if self._refused:
            self.channel.loseConnection()
            return
        self.notifyFinish().addBoth(self._note_end)
        self.application.answer(self)

    def knock(self, method: str) -> Knock:
        """What is known before the body; *method* is not, to Twisted, until the end of it."""
        if self._headers is None:
            self._headers = {
                name.decode("latin-1").lower(): [value.decode("latin-1") for value in values]
                for name, values in self.requestHeaders.getAllRawHeaders()
            }
        return Knock(method, getattr(self.getClientAddress(), "host", None), self._headers)

    def call(self, params: dict[str, str], query: Sequence[tuple[str, str]]) -> Call:
        """The request as handlers see it."""
        headers = {name: values[0] for name, values in self.knock("").headers.items()}
        return Call(params, query, headers, self.content.getvalue())

    def reply(self, reply: Reply | Streaming) -> None:
        """Send *reply*, or begin to, unless the client is gone."""
        if self._finished:
            return
        if isinstance(reply, Streaming):
            self._stream(reply)
            return
        self._head(reply.status, reply)
        self.setHeader(b"Content-Length", b"%d" % len(reply.body))
        self.write(reply.body)
        self.finish()

    def _stream(self, reply: Streaming) -> None:
        """The connection serves nothing else, and ends with the stream."""
        self.channel.persistent = 0
        self._head(HTTPStatus.OK, reply)
        self.setHeader(b"Connection", b"close")
        if self.method == b"HEAD":
            self.finish()
        else:
            reply.begin(self)

    def _head(self, status: int, reply: Reply | Streaming) -> None:
        self.setResponseCode(status, HTTPStatus(status).phrase.encode())
        self.setHeader(b"Server", b"copilot-socket")
        self.setHeader(b"Date", http.datetimeToString(self.application.reactor.seconds()))
        self.setHeader(b"Content-Type", reply.content_type)
        self.setHeader(b"Cache-Control", b"no-store")
        self.setHeader(b"X-Content-Type-Options", b"nosniff")
        for name, value in reply.headers.items():
            self.setHeader(name.encode(), value.encode())

    def end(self) -> None:
        """End a stream, and its connection once all of it is sent."""
        self.unregisterProducer()
        self.finish()

    def abort(self) -> None:
        """Cut the connection, whatever was not sent."""
        cast(ITCPTransport, self.channel.transport).abortConnection()

    def _note_end(self, _result: Any) -> None:
        self._finished = True

    def _refuse(self, problem: Problem) -> None:
        """Answer in the middle of the request. The client gets a moment to read it: closing at once would reset
        the connection under the answer, since there is unread input.
        """
        self._refused = True
        self.content = BytesIO()
        # Asked to go on with the body, the client would send it.
        self.requestHeaders.removeHeader(b"expect")
        reply = problem.reply()
        lines = [
            f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
            f"Content-Type: {reply.content_type.decode()}",
            f"Content-Length: {len(reply.body)}",
            "Connection: close",
            *(f"{name}: {value}" for name, value in reply.headers.items()),
        ]
        transport = cast(ITCPTransport, self.channel.transport)
        transport.write("\r\n".join([*lines, "", ""]).encode() + reply.body)
        transport.loseWriteConnection()
        cut = self.application.reactor.callLater(LINGER, transport.abortConnection)
        self.notifyFinish().addBoth(lambda _result: cut.cancel() if cut.active() else None)


def _too_large() -> Problem:
    return Problem(413, f"a body may have at most {MAX_BODY} bytes")
