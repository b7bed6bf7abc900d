"""The transport of a crawler's connection: Twisted's, with two shortcuts for small messages."""

import socket
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IReactorUNIX
from twisted.internet.protocol import Factory
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


class CrawlerPort(unix.Port):
    """Listens for crawlers."""

    transport = CrawlerTransport


class InheritedPort(CrawlerPort):
    """Listens for crawlers on a socket that another process made and keeps.

    Its path and mode are that process's. Shutting it down would have crawlers refused before the next node is up.
    """

    _shouldShutdown = False

    def __init__(self, listening: socket.socket, factory: Factory, reactor: IReactorUNIX) -> None:
        super().__init__(listening.getsockname(), factory, reactor=reactor)
        self._listening = listening

    def startListening(self) -> None:
        """See :class:`twisted.internet.interfaces.IListeningPort`."""
        self.factory.doStart()  # type: ignore[union-attr]
        self.socket = self._listening
        self.fileno = self.socket.fileno  # type: ignore[method-assign]
        self.connected = True
        self.numberAccepts = 100  # as Twisted's ports begin
        self.startReading()

    def connectionLost(self, reason: Failure) -> None:
        """Close this process's descriptor, and nothing else."""
        tcp.Port.connectionLost(self, reason)
