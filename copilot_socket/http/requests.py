"""An HTTP request and its answer, both bounded in size and time."""

# twisted.web's methods have no annotations.
# mypy: allow-untyped-calls

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from io import BytesIO
from typing import Any, Protocol, cast

import attrs
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime, ITCPTransport
from twisted.web import server
from twisted.web.http import NO_BODY_CODES
from zope.interface import implementer

from copilot_socket.http.channel import Channel
from copilot_socket.http.compression import SMALLEST, Compressor, accepts_gzip
from copilot_socket.http.conditions import tag_of_gzip
from copilot_socket.http.gate import RequestHead, Visitor
from copilot_socket.http.headers import common_headers
from copilot_socket.http.messages import Call, ClientGone, Problem, Reply, Streaming
from copilot_socket.http.shares import MAX_BODIES, Share
from copilot_socket.http.slices import Slices
from copilot_socket.wire.peer import read_uid

MAX_BODY = 16 * 1024 * 1024
ANSWER_TIMEOUT = 60.0
"""Seconds within which a client must read an answer."""
MANY_CHUNKS = 1000
LISTS = frozenset({"if-match", "if-none-match"})
"""Headers whose repetitions are one list (RFC 9110, section 5.3)."""
SMALL_CHUNK = 16
"""Bytes: a body whose first ``MANY_CHUNKS`` chunks are smaller on average is refused, since each has a fixed cost."""


class Application(Protocol):
    """Answers requests."""

    reactor: IReactorTime
    slices: Slices
    compressor: Compressor

    def answer_share(self) -> Share:
        """A new, empty share of the memory for answers."""

    def time_of_day(self) -> float:
        """Seconds since 1970."""

    def refuse_early(self, head: RequestHead) -> Problem | None:
        """The problem that refuses a request before its body is read; None if it may continue."""

    def answer(self, request: "Request") -> None:
        """Answer a complete request, now or later, with :meth:`Request.reply`."""


class Request(server.Request):
    """Collects up to 16 MiB of body. A request that is too large or has no access is answered before its end."""

    application: Application
    channel: Channel
    share: Share
    """This request's share of the memory for bodies."""
    content: BytesIO
    _finished = False
    _answering = False
    _headers: Mapping[str, Sequence[str]] | None = None
    _chunks = 0

    def gotLength(self, length: int | None) -> None:
        """The headers are complete; *length* is None for a chunked body."""
        self.content = BytesIO()
        if length == 0:
            return
        problem = self.application.refuse_early(self.head(self.channel.method)) or self._room(length or 0)
        if problem is not None:
            self._refuse(problem)
        else:
            self.channel.known = True

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body."""
        if self.channel.refused:
            return
        size = self.content.tell() + len(data)
        self._chunks += 1
        problem = self._room(size)
        if self._chunks == MANY_CHUNKS and size < MANY_CHUNKS * SMALL_CHUNK:
            problem = Problem(400, f"Request body chunks are too small; send at least {SMALL_CHUNK} bytes on average")
        if problem is not None:
            self._refuse(problem)
        else:
            self.content.write(data)

    def _room(self, size: int) -> Problem | None:
        """The problem if there is no memory for a body of *size* bytes."""
        if size > MAX_BODY:
            return Problem(413, f"Request body must be at most {MAX_BODY} bytes")
        if not self.share.grow(size):
            busy = f"Too many request bodies in progress (at most {MAX_BODIES} bytes); try again later"
            return Problem(503, busy, headers={"Retry-After": "1"})
        return None

    def process(self) -> None:
        """The request is complete."""
        self._answering = True
        self.notifyFinish().addBoth(self._note_end)
        self.application.answer(self)

    def connectionLost(self, reason: Any) -> None:
        """The client has disconnected."""
        super().connectionLost(reason)
        if not self._answering:
            self.share.free()

    def head(self, method: str) -> RequestHead:
        """The head of this request; Twisted sets its own ``method`` only at the end of the body."""
        if self._headers is None:
            self._headers = {
                name.decode("latin-1").lower(): [value.decode("latin-1") for value in values]
                for name, values in self.requestHeaders.getAllRawHeaders()
            }
        address = self.getClientAddress()
        transport: Any = self.channel.transport
        uid = read_uid(transport.socket) if isinstance(address, UNIXAddress) else None
        return RequestHead(method, getattr(address, "host", None), self._headers, uid)

    def call(
        self,
        params: dict[str, str],
        query: Sequence[tuple[str, str]],
        visitor: Visitor,
        still_granted: Callable[[], bool],
    ) -> Call:
        """The request as an argument for handlers."""
        headers = {
            name: ", ".join(values) if name in LISTS else values[0] for name, values in self.head("").headers.items()
        }
        # A body means nothing here (RFC 9110, section 9.3.1).
        body = b"" if self.method in (b"GET", b"HEAD") else self.content.getvalue()
        self.content = BytesIO()
        return Call(params, query, headers, body, visitor.actor, visitor.grant, still_granted, self._next_slice)

    async def _next_slice(self) -> None:
        await self.application.slices.next()
        if self._finished:
            raise ClientGone

    async def reply(self, reply: Reply | Streaming) -> None:
        """Send *reply*, or begin a stream, unless the client has disconnected. Releases the body's memory."""
        self.share.free()
        if self._finished:
            return
        if isinstance(reply, Streaming):
            self._stream(reply)
            return
        share = self.application.answer_share()
        if not share.grow(len(reply.body)):
            busy = "Too many unread responses; try again later"
            reply = Problem(503, busy, headers={"Retry-After": "1"}).reply()
        try:
            reply = await self._encoded(reply)
        except ClientGone:
            share.free()
            return
        self._set_headers(reply.status, reply)
        if reply.status not in NO_BODY_CODES:
            self.setHeader(b"Content-Length", b"%d" % len(reply.body))
        delivery = _Delivery(self, share)
        self.registerProducer(delivery, True)
        self.notifyFinish().addBoth(delivery.over)
        self.write(reply.body)
        delivery.written()

    async def _encoded(self, reply: Reply) -> Reply:
        """*reply* in gzip, if that is accepted and worth it. Raises :class:`ClientGone`."""
        if reply.secret:  # its length would tell of it, beside what the client has chosen
            return reply
        self.responseHeaders.addRawHeader(b"Vary", b"Accept-Encoding")
        if len(reply.body) <= SMALLEST or not accepts_gzip(self.head("").headers.get("accept-encoding", ())):
            return reply
        compressed = reply.gzip or await self.application.compressor.gzip(reply.body, self._next_slice)
        if len(compressed) >= len(reply.body):
            return reply
        headers = {**reply.headers, "Content-Encoding": "gzip"}
        if "ETag" in headers:
            headers["ETag"] = tag_of_gzip(headers["ETag"])
        return attrs.evolve(reply, body=compressed, headers=headers)

    def _stream(self, reply: Streaming) -> None:
        """Begin a stream; the connection serves nothing else, and ends with it."""
        self.channel.persistent = 0
        self._set_headers(HTTPStatus.OK, reply)
        self.setHeader(b"Connection", b"close")
        if self.method == b"HEAD":
            self.finish()
        else:
            reply.begin(self)

    def _set_headers(self, status: int, reply: Reply | Streaming) -> None:
        self.setResponseCode(status, HTTPStatus(status).phrase.encode())
        if status not in NO_BODY_CODES:
            self.setHeader(b"Content-Type", reply.content_type)
        for name, value in common_headers(self.application.time_of_day()):
            self.setHeader(name, value)
        for header, text in reply.headers.items():
            self.setHeader(header.encode(), text.encode())

    def end(self) -> None:
        """Finish the request. The connection of a stream closes once all is sent."""
        self.unregisterProducer()
        self.finish()

    def abort(self) -> None:
        """Close the connection immediately; unsent data is lost."""
        cast(ITCPTransport, self.channel.transport).abortConnection()

    def _note_end(self, _result: Any) -> None:
        self._finished = True

    def _refuse(self, problem: Problem) -> None:
        """Answer before the end of the request, which is the last one of its connection."""
        self.content = BytesIO()
        self.share.free()
        # Otherwise Twisted would send 100 Continue, and the client its body.
        self.requestHeaders.removeHeader(b"expect")
        self.channel.refuse(problem)


@implementer(IPushProducer)
class _Delivery:
    """The delivery of an answer. Finishes the request in a later turn, once the client has read most of the answer.

    Twisted starts a pipelined request when the previous one is finished: so one is handled each turn, and none while
    earlier answers are unread.
    """

    def __init__(self, request: Request, share: Share) -> None:
        self._request = request
        self._share = share
        self._full = False
        self._over = False
        self._timeout: IDelayedCall | None = None

    def written(self) -> None:
        """All of the answer was passed to the transport."""
        reactor = self._request.application.reactor
        if self._full:
            self._request.channel.unread = True
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
        """The connection is lost; :meth:`over` is called too."""

    def over(self, _result: Any) -> None:
        """The answer is delivered, or the client has disconnected."""
        self._over = True
        self._share.free()
        if self._timeout is not None and self._timeout.active():
            self._timeout.cancel()

    def _finish(self) -> None:
        if not self._over:
            self._request.end()
