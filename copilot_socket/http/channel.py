"""Connections of the HTTP port: limits on their number and on the time of requests, and refusals."""

# twisted.web's methods have no annotations.
# mypy: allow-untyped-calls

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http

from copilot_socket.http.headers import common_headers
from copilot_socket.http.messages import Problem

MAX_CONNECTIONS = 200
"""Open HTTP connections, event streams included. Beyond it, one that is not served, or not read, is closed."""
READ_SIZE = 8 * 1024
"""Bytes of one read of headers and chunks, whose parsing is expensive; bodies of known length use larger reads."""
_LONGEST_LENGTH = 100
"""Characters of a Content-Length header."""
REQUEST_TIMEOUT = 60.0
"""Seconds from the first byte of a request to its last; also how long a connection may be idle between requests."""
LINGER = 5.0
"""Seconds for a client that was refused to read the answer before the connection is closed."""


class Channel(http.HTTPChannel):
    """One HTTP connection."""

    factory: "Connections"
    transport: Any
    answering = False
    """Whether a complete request is being answered, or its answer is not read completely."""
    known = False
    """Whether its last request came with a valid token."""
    unread = False
    """Whether the answer is complete, but the client has not read it."""
    refused = False
    """Whether the last answer of this connection was sent before the end of its request."""
    _arriving = False

    def connectionMade(self) -> None:
        """Wait for the first request."""
        super().connectionMade()
        self._set_read_size(READ_SIZE)
        self.factory.opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Unregister from the factory."""
        self.factory.closed(self)
        super().connectionLost(reason)

    @property
    def method(self) -> str:
        """The method of the request that arrives; empty before its request line."""
        return bytes(getattr(self, "_command", b"")).decode("latin-1")

    def dataReceived(self, data: bytes) -> None:
        """Parse more of a request.

        Input is discarded after a request that was refused before its end, and after the last request of this
        connection, such as an event stream.
        """
        if not self.refused and (self.persistent or not self.answering):
            super().dataReceived(data)

    def pauseProducing(self) -> None:
        """The client does not read: read nothing from it either, or further requests would pile up."""
        super().pauseProducing()
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The client has read everything."""
        super().resumeProducing()
        if self.answering and not self.persistent:
            self.transport.resumeProducing()  # to notice when the client of a stream disconnects

    def resetTimeout(self) -> None:
        """Start the time-out at the first byte of a request only, so that a trickle of bytes does not extend it."""
        if not (self._arriving or self.answering):
            self._arriving = True
            super().resetTimeout()

    def headerReceived(self, line: bytes) -> bool:
        """Parse one header. An absurdly long Content-Length is refused here; Twisted would raise an exception."""
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and len(value) > _LONGEST_LENGTH:
            self._respondToBadRequestAndDisconnect()
            return False
        return bool(super().headerReceived(line))

    def allHeadersReceived(self) -> None:
        """The body follows; the length of a chunked one is None."""
        if self.length is not None:
            self._set_read_size(FileDescriptor.bufferSize)
        super().allHeadersReceived()

    def _set_read_size(self, size: int) -> None:
        if hasattr(self.transport, "bufferSize"):
            self.transport.bufferSize = size

    def allContentReceived(self) -> None:
        """A request is complete; one that was refused is not processed."""
        if self.refused:
            return
        self._set_read_size(READ_SIZE)
        self._arriving, self.answering = False, True
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """*request* is answered; parse pipelined requests behind it."""
        self.answering = self.unread = False
        super().requestDone(request)
        if not self.persistent:
            self.setTimeout(REQUEST_TIMEOUT)  # for the client to read the rest of the answer

    def timeoutConnection(self) -> None:
        """Close the connection. What the client has not read is lost; Twisted would wait for it for another 15 s."""
        self.loseConnection()
        self.callLater(0, self.transport.abortConnection)

    def refuse(self, problem: Problem) -> None:
        """Send *problem* as the last answer of this connection, and close it within :data:`LINGER` seconds.

        Further input is discarded. Closing the connection immediately, with input unread, would reset it, and the
        client might lose the answer.
        """
        if self.refused:
            return
        self.refused = True
        self.clearLineBuffer()
        reply = problem.reply()
        headers = (
            *common_headers(self.factory.time_of_day()),
            (b"Content-Type", reply.content_type),
            (b"Content-Length", b"%d" % len(reply.body)),
            (b"Connection", b"close"),
            *((name.encode(), value.encode()) for name, value in reply.headers.items()),
        )
        status = f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}".encode()
        has_body = self.method != "HEAD"
        lines = [status, *(b"%b: %b" % header for header in headers), b"", reply.body if has_body else b""]
        self.transport.write(b"\r\n".join(lines))
        self.transport.loseWriteConnection()
        self.setTimeout(LINGER)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that is too long. Twisted would close the connection without an answer."""
        self._respondToBadRequestAndDisconnect()

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Refuse what is not HTTP. Twisted calls this for what it can't parse, and would send a bare status line."""
        limits = f"the head may have {self.totalHeadersSize} bytes and {self.maxHeaders} headers"
        self.refuse(Problem(400, f"Request is not valid HTTP/1.1; {limits}"))


class Connections:
    """A factory's open channels, at most ``max_connections``."""

    max_connections = MAX_CONNECTIONS

    def __init__(self, time_of_day: Callable[[], float]) -> None:
        """*time_of_day* returns seconds since 1970."""
        self.time_of_day = time_of_day
        self.channels: dict[Channel, None] = {}

    def opened(self, channel: Channel) -> None:
        """Register *channel*; over the limit, abort the oldest one without a request, or with an unread answer.

        Those that have shown no valid token go first.
        """
        self.channels[channel] = None
        if len(self.channels) > self.max_connections:
            idle = [each for each in self.channels if each is channel or each.unread or not each.answering]
            strangers = (each for each in idle if not each.known and each is not channel)
            leaving = next(strangers, idle[0])
            del self.channels[leaving]  # now: connectionLost comes in a later turn, others may open in this one
            leaving.transport.abortConnection()

    def closed(self, channel: Channel) -> None:
        """Unregister *channel*."""
        self.channels.pop(channel, None)
