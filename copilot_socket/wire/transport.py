"""The transports of crawlers' connections: Twisted's, with two shortcuts for small messages.

Nothing that a client has sent is lost because it has closed.
"""

import contextlib
from typing import Any

from twisted.internet import tcp, unix
from twisted.python.failure import Failure

from copilot_socket.wire.flow import Flow


class Immediate:
    """Mixin for Twisted's transports: writes to the socket immediately.

    Twisted's own wait until the reactor reports the socket as writable, which takes three more system calls and
    another turn.
    """

    dataBuffer: bytes
    offset: int
    connected: int
    producer: Any
    protocol: Any

    def writeSomeData(self, data: bytes) -> int:
        """Write to the socket; returns how much.

        What is written to a client that has closed is dropped, and no failure: that would end the connection before
        all that the client has sent is read.
        """
        sent: Any = tcp.Connection.writeSomeData(self, data)  # type: ignore[arg-type]
        return len(data) if isinstance(sent, Exception) else sent

    def doWrite(self) -> Any:
        """See :class:`twisted.internet.interfaces.IWriteDescriptor`. Notifies the connection of progress."""
        waiting, producer = self._waiting, self.producer
        result = super().doWrite()  # type: ignore[misc]
        if producer is self.producer and producer is not None and 0 < self._waiting < waiting:
            # Over TLS the transport's producer is Twisted's, in front of the connection.
            flow = producer if isinstance(producer, Flow) else getattr(self.protocol, "wrappedProtocol", None)
            if isinstance(flow, Flow):
                flow.bytes_taken()
        return result

    @property
    def _waiting(self) -> int:
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    def connectionLost(self, reason: Failure) -> None:
        """Release the send buffer."""
        super().connectionLost(reason)  # type: ignore[misc]
        self.dataBuffer = b""
        self._tempDataBuffer: list[bytes] = []
        self._tempDataLen = 0

    def write(self, data: bytes) -> None:
        """See :class:`twisted.internet.interfaces.ITransport`."""
        if self.connected and not self.dataBuffer and not self._tempDataBuffer:
            sent = self.writeSomeData(data)
            if sent == len(data):
                return
            data = data[sent:]  # the reactor writes the rest
        super().write(data)  # type: ignore[misc]


class CrawlerTransport(Immediate, unix.Server):
    """Over a UNIX socket; receives no file descriptors."""

    doRead = tcp.Connection.doRead  # type: ignore[assignment]


class TCPTransport(Immediate, tcp.Server):
    """Over TCP, perhaps below TLS. Small messages leave at once; the kernel looks whether the other end is there."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        with contextlib.suppress(OSError):  # it was reset already, which the first read will tell
            self.setTcpNoDelay(True)
            self.setTcpKeepAlive(True)
