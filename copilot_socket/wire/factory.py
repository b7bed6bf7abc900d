"""Builds a protocol for each connection, keeps the limit on their number, and stops and starts reading."""

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import ServerFactory

from copilot_socket.core.errors import ErrorCode
from copilot_socket.core.replies import Error, Reply
from copilot_socket.telling import ErrorsSent, Telling
from copilot_socket.wire.handled import Handled
from copilot_socket.wire.peer import Peer, read_peer
from copilot_socket.wire.protocol import CrawlerProtocol, Handler
from copilot_socket.wire.stages import Stages
from copilot_socket.wire.validators import Decoder

REFUSAL_LASTS = 5.0
"""Seconds before a connection past the limit is closed: at once would bring its crawler back in bursts."""


class Doorkeeper(Protocol):
    """Who is told of connections."""

    def opened(self, link: Any, peer: Peer | None) -> None:
        """A connection that was let in."""

    def closed(self, link: Any, reason: str) -> None:
        """One that was let in is over."""


class CrawlerFactory(ServerFactory):
    """The listening side of the wire."""

    noisy = False

    def __init__(
        self,
        decoder: Decoder,
        handler: Handler,
        doorkeeper: Doorkeeper,
        reactor: IReactorTime,
        telling: Telling,
        *,
        max_connections: int,
        max_message_size: int,
    ) -> None:
        self._decoder = decoder
        self._handler = handler
        self._doorkeeper = doorkeeper
        self._reactor = reactor
        self._stages = Stages(reactor)
        self._handled = Handled(self._stages, reactor, telling)
        self._telling = telling
        self._max_connections = max_connections
        self._max_message_size = max_message_size
        self._reading = True
        self.connections: dict[str, CrawlerProtocol] = {}
        self.refused: dict[str, IDelayedCall] = {}
        """Connections past the limit, and when each of them is closed."""
        self.on_reading: Callable[[bool], None] = lambda _reading: None

    def buildProtocol(self, addr: IAddress | None) -> CrawlerProtocol:
        """A protocol for a new connection."""
        protocol = CrawlerProtocol(
            self._decoder,
            self._handler,
            self._reactor,
            self._stages,
            self._handled,
            self._telling,
            self._max_message_size,
        )
        protocol.factory = self
        return protocol

    # -- called by the protocols

    def opened(self, protocol: CrawlerProtocol) -> None:
        """Let *protocol* in if there is room, or room can be made."""
        if len(self.connections) >= self._max_connections and not self._make_room():
            self._refuse(protocol)
            return
        self.connections[protocol.id] = protocol
        transport: Any = protocol.transport
        self._doorkeeper.opened(protocol, read_peer(transport.socket) if hasattr(transport, "socket") else None)
        if not self._reading:
            protocol.pauseProducing()

    def closed(self, protocol: CrawlerProtocol, reason: str) -> None:
        """*protocol* is over."""
        if self.connections.pop(protocol.id, None) is not None:
            self._doorkeeper.closed(protocol, reason)
        closing = self.refused.pop(protocol.id, None)
        if closing is not None and closing.active():
            closing.cancel()

    def resume(self, protocol: CrawlerProtocol) -> None:
        """*protocol* has had its answers and may be read from again, if anyone may."""
        if self._reading:
            protocol.resumeProducing()

    # -- called from above

    def read(self, reading: bool) -> None:
        """Stop reading from all crawlers, or go on."""
        if reading == self._reading:
            return
        self._reading = reading
        self.on_reading(reading)
        for protocol in list(self.connections.values()):
            if not reading:
                protocol.pauseProducing()
            elif not protocol.held_back:
                protocol.resumeProducing()

    def tell_all(self, reply: Reply) -> None:
        """Send *reply* over every connection."""
        for protocol in list(self.connections.values()):
            protocol.push(reply)

    def close_all(self, reason: str) -> None:
        """End every connection once all that was sent is out."""
        for protocol in list(self.connections.values()):
            protocol.close(reason)
        for closing in list(self.refused.values()):
            if closing.active():
                closing.reset(0)

    @property
    def active(self) -> int:
        """Connections over which a valid message has come."""
        return sum(protocol.spoken for protocol in self.connections.values())

    # -- the limit

    def _make_room(self) -> bool:
        """Close the oldest mute connection of a plain crawler that lives by another one."""
        for protocol in self.connections.values():
            crawler = protocol.crawler
            if not protocol.spoken and protocol.closed_because is None and crawler.plain and crawler.present:
                self.connections.pop(protocol.id)
                protocol.close("it was mute, and another connection needed its place")
                self._doorkeeper.closed(protocol, protocol.closed_because or "")
                return True
        return False

    def _refuse(self, protocol: CrawlerProtocol) -> None:
        protocol.refused = True
        text = f"this server takes {self._max_connections} connections (SOCKET_MAX_CONNECTIONS); come back later"
        protocol.push(Error(ErrorCode.TOO_MANY_CONNECTIONS, text))
        self._telling.tell(ErrorsSent(ErrorCode.TOO_MANY_CONNECTIONS))
        self.refused[protocol.id] = self._reactor.callLater(REFUSAL_LASTS, protocol.close, "too many connections")
