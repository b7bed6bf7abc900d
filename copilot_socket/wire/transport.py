"""The transport of a crawler's connection: Twisted's, with two shortcuts for small messages.

Nothing that a client has sent is lost because it has closed.
"""

from typing import Any

from twisted.internet import tcp, unix
from twisted.python.failure import Failure

from copilot_socket.wire.flow import Flow


class CrawlerTransport(unix.Server):
    """Writes to the socket immediately, and does not receive file descriptors.

    Twisted's own waits until the reactor reports the socket as writable, which takes three more system calls and
    another turn.
    """

    doRead = tcp.Connection.doRead  # type: ignore[assignment]

    def writeSomeData(self, data: bytes) -> int:
        """Write to the socket; returns how much.

        What is written to a client that has closed is dropped, and no failure: that would end the connection before
        all that the client has sent is read.
        """
        sent: Any = tcp.Connection.writeSomeData(self, data)
        return len(data) if isinstance(sent, Exception) else sent

    def doWrite(self) -> Any:
        """See :class:`twisted.internet.interfaces.IWriteDescriptor`. Notifies the connection of progress."""
        waiting, producer = self._waiting, self.producer
        result = super().doWrite()
        if producer is self.producer and isinstance(producer, Flow) and 0 < self._waiting < waiting:
            producer.bytes_taken()
        return result

    @property
    def _waiting(self) -> int:
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    def connectionLost(self, reason: Failure) -> None:
        """Release the send buffer."""
        super().connectionLost(reason)
        self.dataBuffer = b""
        self._tempDataBuffer = []

    def write(self, data: bytes) -> None:
        """See :class:`twisted.internet.interfaces.ITransport`."""
        if self.connected and not self.dataBuffer and not self._tempDataBuffer:
            sent = self.writeSomeData(data)
            if sent == len(data):
                return
            data = data[sent:]  # the reactor writes the rest
        super().write(data)
