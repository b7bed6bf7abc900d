"""Builds a protocol for each connection, bounds their number and what they hold, and stops and starts reading."""

from typing import Any, Protocol

from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import ServerFactory

from copilot_socket.core.errors import ErrorCode
from copilot_socket.core.reading_clock import ReadingClock
from copilot_socket.core.replies import Error, Reply
from copilot_socket.event_bus import ErrorsSent, EventBus
from copilot_socket.wire.handled import Handled
from copilot_socket.wire.limits import HURRY, LARGE, MAX_REFUSED, MAX_UNREAD, Pause, Places, places
from copilot_socket.wire.outbox import Owed
from copilot_socket.wire.peer import Peer, read_peer
from copilot_socket.wire.protocol import CrawlerProtocol, Handler
from copilot_socket.wire.turn import TurnBatcher
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
    """The listening side of the wire. *patience*: seconds for which a client may take nothing of what it is sent."""

    noisy = False

    def __init__(
        self,
        decoder: Decoder,
        handler: Handler,
        doorkeeper: Doorkeeper,
        reactor: IReactorTime,
        reading_clock: ReadingClock,
        bus: EventBus,
        *,
        max_connections: int,
        max_message_size: int,
        patience: float,
        max_refused: int = MAX_REFUSED,
    ) -> None:
        self._decoder = decoder
        self._handler = handler
        self._doorkeeper = doorkeeper
        self._reactor = reactor
        self.reading_clock = reading_clock
        self._batcher = TurnBatcher(reactor)
        self._handled = Handled(self._batcher, reactor, bus)
        self._bus = bus
        self._owed = Owed()
        self._places = Places(places(max_message_size))
        self._unread = 0
        """Bytes sent to clients that do not read, in all."""
        self._max_connections = max_connections
        self._max_message_size = max_message_size
        self._patience = patience
        self._max_refused = max_refused
        self._reading = True
        self.connections: dict[str, CrawlerProtocol] = {}
        self.refused: dict[CrawlerProtocol, IDelayedCall] = {}
        """Connections over the limit, oldest first, and the timer that closes each."""

    def buildProtocol(self, addr: IAddress | None) -> CrawlerProtocol:
        """A protocol for a new connection."""
        protocol = CrawlerProtocol(
            self._decoder,
            self._handler,
            self._reactor,
            self._batcher,
            self._handled,
            self._bus,
            self._owed,
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
            protocol.pause(Pause.NODE)

    def closed(self, protocol: CrawlerProtocol, reason: str) -> None:
        """*protocol* is over."""
        self.pile_up(protocol, -protocol.unread)
        if self.connections.pop(protocol.id, None) is not None:
            self._doorkeeper.closed(protocol, reason)
        closing = self.refused.pop(protocol, None)
        if closing is not None and closing.active():
            closing.cancel()

    def find_place(self, protocol: CrawlerProtocol) -> bool:
        """Whether *protocol* may hold more than :data:`LARGE` bytes of a message; otherwise it is queued."""
        protocol.placed = True
        return self._places.take(protocol, self.reading_clock.now)

    def leave_place(self, protocol: CrawlerProtocol) -> None:
        """*protocol* needs no place any more."""
        protocol.placed = False
        self._places.leave(protocol, self.reading_clock.now)

    def reads(self, protocol: CrawlerProtocol) -> None:
        """Reading from *protocol* resumes: the time for its large message starts again."""
        if protocol in self._places.holders:
            self._places.holders[protocol] = self.reading_clock.now

    def pile_up(self, protocol: CrawlerProtocol, size: int) -> None:
        """Add *size*, which may be negative, to the bytes that *protocol*'s client does not read.

        Over :data:`MAX_UNREAD` in all, the client that has taken nothing for the longest time is cut off.
        """
        protocol.unread += size
        self._unread += size
        while self._unread > MAX_UNREAD:
            waiting = (each for each in self.connections.values() if each.unread)
            stalest = min(waiting, key=lambda each: each.taken_at or 0.0, default=protocol)
            stalest.cut_off("unread replies of all connections reached their limit")

    # -- called from above

    def read(self, reading: bool) -> None:
        """Stop reading from all crawlers, or resume. Silence is not counted meanwhile."""
        if reading == self._reading:
            return
        self._reading = reading
        now = self._reactor.seconds()
        if reading:
            self.reading_clock.resume(now)
        else:
            self.reading_clock.pause(now)
        for protocol in list(self.connections.values()):
            if reading:
                protocol.resume(Pause.NODE)
            else:
                protocol.pause(Pause.NODE)

    def cut_off_stalled(self) -> None:
        """Cut off clients that have read nothing, or not completed a large message, within the time-out."""
        now = self.reading_clock.now
        for protocol in list(self.connections.values()):
            if protocol.taken_at is not None and now - protocol.taken_at > self._patience:
                protocol.cut_off("nothing read of what it was sent within the heartbeat time-out")
        patience = min(self._patience, HURRY) if self._places.contended else self._patience
        for protocol, since in list(self._places.holders.items()):
            if now - since > patience and not protocol.held_back:
                protocol.cut_off(f"a message of more than {LARGE} bytes not complete within {patience:g} s")

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
        """Send the error, and close later. Nothing is read from *protocol* meanwhile."""
        protocol.pause(Pause.CLOSING)
        text = f"At most {self._max_connections} connections are allowed (SOCKET_MAX_CONNECTIONS); try again later"
        protocol.push(Error(ErrorCode.TOO_MANY_CONNECTIONS, text))
        self._bus.publish(ErrorsSent(ErrorCode.TOO_MANY_CONNECTIONS))
        self.refused[protocol] = self._reactor.callLater(REFUSAL_LASTS, protocol.close, "too many connections")
        if len(self.refused) > self._max_refused:
            oldest = next(iter(self.refused))
            self.refused.pop(oldest).cancel()
            oldest.close("too many connections")
