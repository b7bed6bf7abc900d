"""Connections of the HTTP port: limits on their number, and on the time that a request takes to arrive."""

# twisted.web's methods have no annotations.
# mypy: allow-untyped-calls

from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http

MAX_CONNECTIONS = 200
"""Open HTTP connections, event streams included. Beyond it, one that is not waiting for an answer is closed."""
READ_SIZE = 8 * 1024
"""Bytes of one read of headers and chunks, whose parsing is expensive; bodies of known length use larger reads."""
_LONGEST_LENGTH = 100
"""Characters of a Content-Length header."""
REQUEST_TIMEOUT = 60.0
"""Seconds from the first byte of a request to its last; also how long a connection may be idle between requests."""


class Channel(http.HTTPChannel):
    """One HTTP connection."""

    factory: "Connections"
    transport: Any
    answering = False
    """Whether a complete request is being answered, or its answer is not read completely."""
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

    def dataReceived(self, data: bytes) -> None:
        """Parse more of a request.

        Input is discarded after a request that was refused before its end, and after the last request of this
        connection, such as an event stream.
        """
        refused = self.requests and self.requests[-1].refused
        if not refused and (self.persistent or not self.answering):
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
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            self.loseConnection()
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
        """A request is complete."""
        self._set_read_size(READ_SIZE)
        self._arriving, self.answering = False, True
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """*request* is answered; parse pipelined requests behind it."""
        self.answering = False
        super().requestDone(request)
        if not self.persistent:
            self.setTimeout(REQUEST_TIMEOUT)  # for the client to read the rest of the answer


class Connections:
    """A factory's open channels, at most ``max_connections``."""

    max_connections = MAX_CONNECTIONS

    def __init__(self) -> None:
        self.channels: dict[Channel, None] = {}

    def opened(self, channel: Channel) -> None:
        """Register *channel*; over the limit, abort the oldest one that is not waiting for an answer."""
        self.channels[channel] = None
        if len(self.channels) > self.max_connections:
            leaving = next(each for each in self.channels if each is channel or not each.answering)
            del self.channels[leaving]  # now: connectionLost comes in a later turn, others may open in this one
            leaving.transport.abortConnection()

    def closed(self, channel: Channel) -> None:
        """Unregister *channel*."""
        self.channels.pop(channel, None)
