"""Builds a protocol for each connection, limits their number and memory, and pauses and resumes reading."""

from collections import Counter
from socket import AF_UNIX
from typing import Any, Protocol

from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import ServerFactory

from copilot_socket.core.actors import STRANGER
from copilot_socket.core.acts import WIRE
from copilot_socket.core.errors import ErrorCode
from copilot_socket.core.identity import Identity
from copilot_socket.core.reading_clock import ReadingClock
from copilot_socket.core.replies import Error, Reply
from copilot_socket.event_bus import ErrorsSent, EventBus, Refused
from copilot_socket.wire.handled import HandledCounter
from copilot_socket.wire.limits import (
    CONTENDED_TIMEOUT,
    HELD_WITHOUT_PLACE,
    MAX_REFUSED,
    MAX_UNREAD,
    Pause,
    Places,
    places,
)
from copilot_socket.wire.outbox import Owed
from copilot_socket.wire.peer import Peer, read_peer, read_uid
from copilot_socket.wire.protocol import CrawlerProtocol, Handler
from copilot_socket.wire.tls import NO_LONGER, TLSTransport
from copilot_socket.wire.turn import TurnBatcher
from copilot_socket.wire.validators import Decoder

REFUSAL_LASTS = 5.0
"""Seconds before a connection over the limit is closed: closed immediately, its crawler would reconnect in bursts."""


class ConnectionEvents(Protocol):
    """Is notified when connections open and close."""

    def admits(self, identity: Identity) -> bool:
        """Whether *identity* is admitted whatever it says."""

    def opened(self, link: Any, peer: Peer | None) -> None:
        """*link* was accepted; *peer* is the process at the other end, if that is known."""

    def closed(self, link: Any, reason: str) -> None:
        """An accepted connection was closed."""


class CrawlerFactory(ServerFactory):
    """Serves crawlers.

    *max_rate*: messages per connection and second, 0 for any number. *patience*: seconds after which a client that
    reads nothing is disconnected. *entrance*: seconds for a remote client's handshake, and for its token.
    """

    noisy = False

    def __init__(
        self,
        decoder: Decoder,
        handler: Handler,
        connection_events: ConnectionEvents,
        reactor: IReactorTime,
        reading_clock: ReadingClock,
        bus: EventBus,
        *,
        max_connections: int,
        max_message_size: int,
        max_rate: int,
        patience: float,
        entrance: float = 30.0,
        max_refused: int = MAX_REFUSED,
    ) -> None:
        self._decoder = decoder
        self._handler = handler
        self._connection_events = connection_events
        self._reactor = reactor
        self.reading_clock = reading_clock
        self._batcher = TurnBatcher(reactor)
        self._handled = HandledCounter(self._batcher, reactor, bus)
        self._bus = bus
        self._owed = Owed()
        self._places = Places(places(max_message_size))
        self._unread = 0
        """Bytes sent to clients that do not read, over all connections."""
        self._max_connections = max_connections
        self._max_message_size = max_message_size
        self._max_rate = max_rate
        self._patience = patience
        self._entrance = entrance
        self._max_refused = max_refused
        self._reading = True
        self.connections: dict[str, CrawlerProtocol] = {}
        self.outside: dict[CrawlerProtocol, IDelayedCall] = {}
        """Connections over the limit, and remote ones not admitted yet, oldest first; the timer that closes each."""

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
            self._max_rate,
        )
        protocol.factory = self
        return protocol

    # -- called by the protocols

    def opened(self, protocol: CrawlerProtocol) -> None:
        """*protocol* was connected; over TLS, its handshake begins."""
        if isinstance(protocol.transport, TLSTransport):
            self._keep_outside(protocol, self._entrance, "no TLS handshake within the connection time-out")
        else:
            self.arrived(protocol)

    def arrived(self, protocol: CrawlerProtocol) -> None:
        """It is known who is at the other end. Who is not admitted by that has yet to say what admits it."""
        transport: Any = protocol.transport
        if isinstance(transport, TLSTransport) and transport.outdated:
            transport.factory.handshake_failed(transport.getPeer().host, NO_LONGER)
            protocol.close(NO_LONGER)
            return
        protocol.identity = _identity(transport)
        if self._connection_events.admits(protocol.identity):
            self.enter(protocol)
            return
        protocol.admitted = False
        self._keep_outside(protocol, self._entrance, "not admitted within the connection time-out")
        if not self._reading:
            protocol.pause(Pause.NODE)

    def turned_away(self, address: str, why: str) -> None:
        """A TLS handshake with *address* has failed; *why*: where, and OpenSSL's reason or ours."""
        self._bus.publish(Refused(WIRE, "handshake", STRANGER, address, f"connection to {why}"))

    def enter(self, protocol: CrawlerProtocol) -> bool:
        """Accept *protocol* if the limit allows, or another connection can be closed for it; otherwise refuse it."""
        if protocol.id in self.connections:
            return True
        if len(self.connections) >= self._max_connections and not self._make_room():
            self._refuse(protocol)
            return False
        self._stop_timer(protocol)
        self.connections[protocol.id] = protocol
        transport: Any = protocol.transport
        local = hasattr(transport, "socket") and not protocol.identity.remote
        self._connection_events.opened(protocol, read_peer(transport.socket) if local else None)
        if not self._reading:
            protocol.pause(Pause.NODE)
        return True

    def closed(self, protocol: CrawlerProtocol, reason: str) -> None:
        """*protocol* was closed."""
        self.count_unread(protocol, -protocol.unread)
        if self.connections.pop(protocol.id, None) is not None:
            self._connection_events.closed(protocol, reason)
        self._stop_timer(protocol)

    def take_place(self, protocol: CrawlerProtocol) -> bool:
        """Whether *protocol* may hold more than ``HELD_WITHOUT_PLACE`` bytes of a message; otherwise it is queued.

        One that is not admitted yet is disconnected.
        """
        if not protocol.admitted:
            self._publish_refusal(protocol, "not_admitted", "large first message")
            protocol.cut_off("not admitted, and its first message is large")
            return False
        protocol.wants_place = True
        return self._places.take(protocol, self.reading_clock.now)

    def leave_place(self, protocol: CrawlerProtocol) -> None:
        """*protocol* no longer needs a place."""
        protocol.wants_place = False
        self._places.leave(protocol, self.reading_clock.now)

    def reading_resumed(self, protocol: CrawlerProtocol) -> None:
        """Reading from *protocol* resumes; restart the time-out of its large message."""
        if protocol in self._places.holders:
            self._places.holders[protocol] = self.reading_clock.now

    def slowed_down(self, protocol: CrawlerProtocol) -> None:
        """*protocol* sends more than the rate allows; its client was told so."""
        self._bus.publish(ErrorsSent(ErrorCode.RATE_LIMITED))
        self._publish_refusal(protocol, ErrorCode.RATE_LIMITED, "messages")

    def count_unread(self, protocol: CrawlerProtocol, size: int) -> None:
        """Add *size*, which may be negative, to the unread bytes of *protocol*'s client.

        Beyond :data:`MAX_UNREAD` bytes in all, the client that has read nothing for the longest time is disconnected.
        """
        protocol.unread += size
        self._unread += size
        while self._unread > MAX_UNREAD:
            waiting = (each for each in self.connections.values() if each.unread)
            stalest = min(waiting, key=lambda each: each.taken_at or 0.0, default=protocol)
            stalest.cut_off("limit on unread replies of all connections reached")

    # -- called from above

    def read(self, reading: bool) -> None:
        """Resume or pause reading from all crawlers; the reading clock stops during the pause."""
        if reading == self._reading:
            return
        self._reading = reading
        now = self._reactor.seconds()
        if reading:
            self.reading_clock.resume(now)
        else:
            self.reading_clock.pause(now)
        for protocol in (*self.connections.values(), *self.outside):
            if reading:
                protocol.resume(Pause.NODE)
            else:
                protocol.pause(Pause.NODE)

    def cut_off_stalled(self) -> None:
        """Disconnect clients that have read nothing, or not completed a large message, within the time-out."""
        now = self.reading_clock.now
        for protocol in list(self.connections.values()):
            if protocol.taken_at is not None and now - protocol.taken_at > self._patience:
                protocol.cut_off("client has read nothing within the heartbeat time-out")
        patience = min(self._patience, CONTENDED_TIMEOUT) if self._places.contended else self._patience
        for protocol, since in list(self._places.holders.items()):
            if now - since > patience and not protocol.held_back:
                protocol.cut_off(f"message of more than {HELD_WITHOUT_PLACE} bytes incomplete after {patience:g} s")

    def tell_all(self, reply: Reply) -> None:
        """Send *reply* over every connection."""
        for protocol in list(self.connections.values()):
            protocol.push(reply)

    def close_all(self, reason: str) -> None:
        """Close every connection once its replies are written."""
        for protocol in list(self.connections.values()):
            protocol.close(reason)
        for closing in self.outside.values():
            closing.reset(0)

    @property
    def active(self) -> int:
        """Number of connections that have sent a valid message."""
        return sum(protocol.spoken for protocol in self.connections.values())

    # -- the limit

    def _make_room(self) -> bool:
        """Close the oldest connection without a valid message whose plain crawler has another; False if none is."""
        for protocol in self.connections.values():
            crawler = protocol.crawler
            if not protocol.spoken and protocol.closed_because is None and crawler.plain and crawler.present:
                self.connections.pop(protocol.id)
                protocol.close("no valid message received, and the connection limit was reached")
                self._connection_events.closed(protocol, protocol.closed_because or "")
                return True
        return False

    def _refuse(self, protocol: CrawlerProtocol) -> None:
        """Send an ``error``, and close after :data:`REFUSAL_LASTS` seconds. Nothing is read from *protocol*."""
        protocol.pause(Pause.CLOSING)
        text = f"At most {self._max_connections} connections are allowed (SOCKET_MAX_CONNECTIONS); try again later"
        protocol.push(Error(ErrorCode.TOO_MANY_CONNECTIONS, text))
        self._bus.publish(ErrorsSent(ErrorCode.TOO_MANY_CONNECTIONS))
        self._publish_refusal(protocol, ErrorCode.TOO_MANY_CONNECTIONS, "connection")
        self._keep_outside(protocol, REFUSAL_LASTS, "too many connections")

    def job_of_another(self, protocol: CrawlerProtocol, type_: str) -> None:
        """A message of *type_* over *protocol* was about the job of another crawler."""
        self._publish_refusal(protocol, "job_of_another", type_)

    def _publish_refusal(self, protocol: CrawlerProtocol, reason: str, what: str) -> None:
        who = protocol.identity
        self._bus.publish(Refused(WIRE, str(reason), who.name or STRANGER, who.address, what))

    def _keep_outside(self, protocol: CrawlerProtocol, seconds: float, reason: str) -> None:
        """Close *protocol* after *seconds*; at the limit, the oldest one of the address that has the most, now."""
        self._stop_timer(protocol)
        self.outside[protocol] = self._reactor.callLater(seconds, self._end, protocol, reason)
        if len(self.outside) > self._max_refused:
            addresses = Counter(_address(each) for each in self.outside)
            self._end(max(self.outside, key=lambda each: addresses[_address(each)]), "too many connections")

    def _end(self, protocol: CrawlerProtocol, reason: str) -> None:
        self._stop_timer(protocol)
        if protocol.closed_because is None:
            protocol.close(reason)
        else:  # it was closed before, and does not go
            protocol.cut_off(reason)

    def _stop_timer(self, protocol: CrawlerProtocol) -> None:
        timer = self.outside.pop(protocol, None)
        if timer is not None and timer.active():
            timer.cancel()


def _identity(transport: Any) -> Identity:
    """Who is at the other end of *transport*."""
    if not hasattr(transport, "socket"):
        return Identity()
    if transport.socket.family == AF_UNIX:
        return Identity(uid=read_uid(transport.socket))
    subject = transport.subject if isinstance(transport, TLSTransport) else None
    return Identity(subject=subject, address=transport.getPeer().host)


def _address(protocol: CrawlerProtocol) -> str:
    """The network address at the other end, or else the local user."""
    return getattr(protocol.transport.getPeer(), "host", None) or protocol.identity.name or ""
