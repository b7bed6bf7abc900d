"""The connections of the HTTP port: how many, and how long a request may take to arrive."""

# twisted.web's methods have no annotations.
# mypy: allow-untyped-calls

from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http

MAX_CONNECTIONS = 200
"""HTTP connections at once, event streams included. Beyond it, one that is not waiting for an answer is closed."""
READ = 8 * 1024
"""Bytes that are read at once, but of a body whose length is known: headers and chunks cost much for each byte."""
_LONGEST_LENGTH = 100
"""Characters of a Content-Length."""
REQUEST_TIMEOUT = 60.0
"""Seconds from the first byte of a request to its last; also how long a connection may be idle between requests."""


class Channel(http.HTTPChannel):
    """One HTTP connection."""

    factory: "Connections"
    transport: Any
    answering = False
    """Whether a complete request waits for its answer, or the answer for its reader."""
    _arriving = False

    def connectionMade(self) -> None:
        """Wait for the first request."""
        super().connectionMade()
        self._read_by(READ)
        self.factory.opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over."""
        self.factory.closed(self)
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        """More of a request.

        Thrown away unparsed is what follows a request that was refused before its end, or the last one of this
        connection, which a stream of events never finishes.
        """
        refused = self.requests and self.requests[-1].refused
        if not refused and (self.persistent or not self.answering):
            super().dataReceived(data)

    def pauseProducing(self) -> None:
        """The client does not read. Nothing is read from it either, or further requests would pile up."""
        super().pauseProducing()
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The client has read what it was sent."""
        super().resumeProducing()
        if self.answering and not self.persistent:
            self.transport.resumeProducing()  # only to notice that a stream's client has gone

    def resetTimeout(self) -> None:
        """Only the first byte of a request starts its time, so that none comes byte by byte for ever."""
        if not (self._arriving or self.answering):
            self._arriving = True
            super().resetTimeout()

    def headerReceived(self, line: bytes) -> bool:
        """One header. An absurd length is refused here: Twisted can't parse it, and would log a crash."""
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and len(value) > _LONGEST_LENGTH:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            self.loseConnection()
            return False
        return bool(super().headerReceived(line))

    def allHeadersReceived(self) -> None:
        """The body comes next; None is the length of a chunked one."""
        if self.length is not None:
            self._read_by(FileDescriptor.bufferSize)
        super().allHeadersReceived()

    def _read_by(self, size: int) -> None:
        if hasattr(self.transport, "bufferSize"):
            self.transport.bufferSize = size

    def allContentReceived(self) -> None:
        """A request is complete."""
        self._read_by(READ)
        self._arriving, self.answering = False, True
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """*request* is answered; what came after it, if anything, is dealt with now."""
        self.answering = False
        super().requestDone(request)
        if not self.persistent:
            self.setTimeout(REQUEST_TIMEOUT)  # for the client to take what is left of the answer


class Connections:
    """A factory's open channels, at most :data:`MAX_CONNECTIONS`."""

    def __init__(self) -> None:
        self.channels: dict[Channel, None] = {}

    def opened(self, channel: Channel) -> None:
        """Let *channel* in; at the limit the oldest one that is not waiting for an answer has to go."""
        self.channels[channel] = None
        if len(self.channels) > MAX_CONNECTIONS:
            leaving = next(each for each in self.channels if each is channel or not each.answering)
            leaving.transport.abortConnection()

    def closed(self, channel: Channel) -> None:
        """*channel* is over."""
        self.channels.pop(channel, None)
