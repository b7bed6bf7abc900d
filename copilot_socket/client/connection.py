"""The line protocol of a crawler: decodes messages and times heartbeats. It makes no decisions."""

from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from copilot_socket.client.messages import Message, decode


class Listener(Protocol):
    """Receives the events of a connection."""

    def connected(self, connection: "Connection") -> None:
        """The connection is established."""

    def received(self, connection: "Connection", message: Message) -> None:
        """A message arrived."""

    def disconnected(self, connection: "Connection", reason: Failure) -> None:
        """The connection is lost, for *reason*."""

    def beat(self, connection: "Connection") -> None:
        """A heartbeat is due."""


class Connection(LineOnlyReceiver):
    """One connection to the server."""

    log = Logger()
    delimiter = b"\n"
    MAX_LENGTH = 64 * 1024 * 1024

    def __init__(self, listener: Listener, clock: IReactorTime) -> None:
        self._listener = listener
        self._beats = LoopingCall(lambda: listener.beat(self))
        self._beats.clock = clock
        self._clock = clock
        self._closing: IDelayedCall | None = None
        self.welcomed = False
        self.leaving = False
        """Whether the node has announced that it stops."""

    @property
    def ready(self) -> bool:
        """Whether reports and requests may be sent."""
        return self.welcomed and not self.leaving

    def connectionMade(self) -> None:
        """See :class:`twisted.internet.interfaces.IProtocol`."""
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)  # a report would wait until the one before it has arrived
        self._listener.connected(self)

    def lineReceived(self, line: bytes) -> None:
        """See :class:`twisted.protocols.basic.LineOnlyReceiver`."""
        message = decode(line)
        if message is None:
            self.log.warn("The server sent an invalid message: {line!r}", line=line[:200])
        else:
            self._listener.received(self, message)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See :class:`twisted.internet.interfaces.IProtocol`."""
        self.leaving = True
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        if self._beats.running:
            self._beats.stop()
        self._listener.disconnected(self, reason)

    def start_beating(self, interval: float) -> None:
        """Call ``beat`` every *interval* seconds, first after one interval."""
        if not self._beats.running:
            beating = self._beats.start(interval, now=False)
            beating.addErrback(lambda failure: self.log.failure("Heartbeats stopped", failure))

    def send(self, line: bytes) -> None:
        """Write one message."""
        if self.transport is not None:
            self.transport.write(line + self.delimiter)

    def leave(self, patience: float) -> None:
        """Send nothing more; keep reading for at most *patience* seconds, then close."""
        self.leaving = True
        self._closing = self._clock.callLater(patience, self.close)

    def close(self) -> None:
        """Close the connection once everything written is sent."""
        if self.transport is not None:
            self.transport.loseConnection()


class ConnectionFactory(Factory):
    """Creates the connections of one crawler."""

    noisy = False

    def __init__(self, listener: Listener, clock: IReactorTime) -> None:
        self._listener = listener
        self._clock = clock

    def buildProtocol(self, addr: object) -> Connection:
        """See :class:`twisted.internet.interfaces.IProtocolFactory`."""
        return Connection(self._listener, self._clock)
