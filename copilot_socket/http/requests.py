"""An HTTP request and its answer, both bounded in size and time."""

# twisted.web's methods have no annotations.
# mypy: allow-untyped-calls

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from io import BytesIO
from typing import Any, Protocol, cast

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime, ITCPTransport
from twisted.web import http, server
from zope.interface import implementer

from copilot_socket.http.gate import Knock
from copilot_socket.http.messages import Call, ClientGone, Problem, Reply, Streaming
from copilot_socket.http.shares import MAX_BODIES, Share
from copilot_socket.http.slices import Slices

MAX_BODY = 16 * 1024 * 1024
LINGER = 5.0
"""Seconds in which a client that was refused early may read why, before the connection is cut."""
ANSWER_TIMEOUT = 60.0
"""Seconds in which a client has to read an answer."""
MANY_CHUNKS = 1000
SMALL_CHUNK = 16
"""Bytes: a chunked body whose first ``MANY_CHUNKS`` chunks are smaller on average is refused. Each costs as much."""


class Application(Protocol):
    """What answers requests."""

    reactor: IReactorTime
    slices: Slices

    def answer_share(self) -> Share:
        """A share, still empty, of the memory for answers."""

    def time_of_day(self) -> float:
        """The time of day, in seconds since 1970."""

    def refuse_early(self, knock: Knock) -> Problem | None:
        """Why a request with a body is not worth reading."""

    def answer(self, request: "Request") -> None:
        """Answer a complete request, now or later, with :meth:`Request.reply`."""


class Request(server.Request):
    """Collects at most 16 MiB of body. A request that is too large or not let in is answered before its end."""

    application: Application
    share: Share
    """Of the memory for request bodies."""
    content: BytesIO
    refused = False
    _finished = False
    _answering = False
    _headers: Mapping[str, Sequence[str]] | None = None
    _chunks = 0

    def gotLength(self, length: int | None) -> None:
        """The headers are complete; *length* is None for a chunked body."""
        self.content = BytesIO()
        if length == 0:
            return
        problem = self.application.refuse_early(self.knock("")) or self._room(length or 0)
        if problem is not None:
            self._refuse(problem)

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body."""
        if self.refused:
            return
        size = self.content.tell() + len(data)
        self._chunks += 1
        problem = self._room(size)
        if self._chunks == MANY_CHUNKS and size < MANY_CHUNKS * SMALL_CHUNK:
            problem = Problem(400, f"Chunks of the request body must be larger: {SMALL_CHUNK} bytes on average")
        if problem is not None:
            self._refuse(problem)
        else:
            self.content.write(data)

    def _room(self, size: int) -> Problem | None:
        """Why there is no room for a body of *size* bytes."""
        if size > MAX_BODY:
            return Problem(413, f"Request body must be at most {MAX_BODY} bytes")
        if not self.share.grow(size):
            busy = f"Request bodies of {MAX_BODIES} bytes are being processed; try again later"
            return Problem(503, busy, headers={"Retry-After": "1"})
        return None

    def process(self) -> None:
        """The request is complete."""
        if self.refused:
            self.channel.loseConnection()
            return
        self._answering = True
        self.notifyFinish().addBoth(self._note_end)
        self.application.answer(self)

    def connectionLost(self, reason: Any) -> None:
        """The client has gone."""
        super().connectionLost(reason)
        if not self._answering:
            self.share.free()

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
        body, self.content = self.content.getvalue(), BytesIO()
        return Call(params, query, headers, body, self._next_slice)

    async def _next_slice(self) -> None:
        await self.application.slices.next()
        if self._finished:
            raise ClientGone

    def reply(self, reply: Reply | Streaming) -> None:
        """Send *reply*, or begin to, unless the client is gone. The request's body is no longer needed."""
        self.share.free()
        if self._finished:
            return
        if isinstance(reply, Streaming):
            self._stream(reply)
            return
        share = self.application.answer_share()
        if not share.grow(len(reply.body)):
            busy = "Too many large answers wait to be read; try again later"
            reply = Problem(503, busy, headers={"Retry-After": "1"}).reply()
        self._head(reply.status, reply)
        self.setHeader(b"Content-Length", b"%d" % len(reply.body))
        delivery = _Delivery(self, share)
        self.registerProducer(delivery, True)
        self.notifyFinish().addBoth(delivery.over)
        self.write(reply.body)
        delivery.written()

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
        self.setHeader(b"Date", http.datetimeToString(self.application.time_of_day()))
        self.setHeader(b"Content-Type", reply.content_type)
        self.setHeader(b"Cache-Control", b"no-store")
        self.setHeader(b"X-Content-Type-Options", b"nosniff")
        for name, value in reply.headers.items():
            self.setHeader(name.encode(), value.encode())

    def end(self) -> None:
        """Finish the request. A stream's connection ends once all of it is sent."""
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
        self.refused = True
        self.content = BytesIO()
        self.share.free()
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


@implementer(IPushProducer)
class _Delivery:
    """An answer on its way. Its request is finished in a later turn, and when the client has read the most of it.

    Twisted begins with a pipelined request when the one before is finished: so there is one a turn, and none whose
    answer would pile up behind others that nobody reads.
    """

    def __init__(self, request: Request, share: Share) -> None:
        self._request = request
        self._share = share
        self._full = False
        self._over = False
        self._timeout: IDelayedCall | None = None

    def written(self) -> None:
        """All of it has been given to the transport."""
        reactor = self._request.application.reactor
        if self._full:
            self._timeout = reactor.callLater(ANSWER_TIMEOUT, self._request.abort)
        else:
            reactor.callLater(0, self._finish)

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        self._full = True

    def resumeProducing(self) -> None:
        """The buffer is empty again."""
        self._full = False
        self._request.application.reactor.callLater(0, self._finish)

    def stopProducing(self) -> None:
        """The connection is lost, which the request hears as well."""

    def over(self, _result: Any) -> None:
        """The answer is delivered, or its client gone."""
        self._over = True
        self._share.free()
        if self._timeout is not None and self._timeout.active():
            self._timeout.cancel()

    def _finish(self) -> None:
        if not self._over:
            self._request.end()
