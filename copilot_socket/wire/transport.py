"""The transport of a crawler's connection: Twisted's, with two shortcuts for small messages."""

from typing import Any

from twisted.internet import tcp, unix
from twisted.python.failure import Failure

from copilot_socket.wire.flow import Flow


class CrawlerTransport(unix.Server):
    """Sends at once what the socket takes, and never looks for file descriptors in what it receives.

    Twisted's own waits for the reactor to say that the socket is writable, which takes three system calls more and
    another turn.
    """

    doRead = tcp.Connection.doRead  # type: ignore[assignment]
    writeSomeData = tcp.Connection.writeSomeData

    def doWrite(self) -> Any:
        """See :class:`twisted.internet.interfaces.IWriteDescriptor`. Reports progress to the connection."""
        waiting, producer = self._waiting, self.producer
        result = super().doWrite()
        if producer is self.producer and isinstance(producer, Flow) and 0 < self._waiting < waiting:
            producer.taken()
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
            sent: Any = self.writeSomeData(data)
            if sent == len(data):
                return
            if not isinstance(sent, Exception):
                data = data[sent:]
        # What is left waits for the reactor; where the other end has gone, the reactor finds out and closes.
        super().write(data)
