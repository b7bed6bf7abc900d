"""Flow control of one connection: pauses reading for any number of reasons, and bounds what is buffered."""

import secrets
from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from copilot_socket.core.identity import Identity
from copilot_socket.core.replies import Reply
from copilot_socket.wire.codec import encode
from copilot_socket.wire.framing import Framer
from copilot_socket.wire.limits import HELD_WITHOUT_PLACE, MAX_UNSENT, Pause
from copilot_socket.wire.outbox import Outbox, Owed
from copilot_socket.wire.turn import TurnBatcher


@implementer(IPushProducer, IHandshakeListener)
class Flow(LineReceiver):
    """Bytes in and replies out: a LineReceiver with framing of its own.

    It registers as push producer with its transport, which then pauses it while the client does not read. Input that
    arrives before a pause takes effect is kept as bytes. All buffers are released when the connection is lost.
    Subclasses handle framed messages in :meth:`_handle_ready`.
    """

    log = Logger()
    factory: Any
    transport: Any

    def __init__(self, batcher: TurnBatcher, owed: Owed, max_size: int) -> None:
        self.id = secrets.token_hex(8)
        self.identity = Identity()
        self.admitted = True
        self.closed_because: str | None = None
        self.pauses: set[Pause] = set()
        """The reasons for not reading from this connection."""
        self.wants_place = False
        """Whether it has a place for a large message, or is queued for one."""
        self.unread = 0
        """Bytes sent since the client stopped reading."""
        self.taken_at: float | None = None
        """When the client last read, in seconds of the reading clock; None if nothing is waiting to be read."""
        self._batcher = batcher
        self._framer = Framer(max_size)
        self._max_size = max_size
        self._outbox = Outbox(owed)
        self._unsent: list[Reply] = []
        self._reading = True
        """Whether the transport reads. After a pause it resumes only when all earlier input is handled."""
        self._complete = b""
        """Complete messages not handled when the pause began, separated by newlines."""
        self._unframed = b""
        """Input that arrived in the turn in which the pause began."""
        self._decoding = 0
        """Bytes of a message that is being decoded over several turns."""

    # -- bytes in

    def dataReceived(self, data: bytes) -> None:
        """Queue *data*: complete messages are handled once all connections have been read in this turn."""
        self._batcher.handle(self._receive, data)

    def _receive(self, data: bytes) -> None:
        if not self.connected or self.closed_because is not None:
            return
        if self.pauses:
            self._unframed += data
            return
        try:
            if self._complete or self._unframed:
                data = self._restore() + data
            self._framer.feed(data)
            self._handle_ready()
            if self.pauses or self.wants_place or not self._reading or self._framer.held > HELD_WITHOUT_PLACE:
                self._keep_or_resume()
        except Exception:
            self._fail_connection()

    def _handle_ready(self) -> None:
        """Handle framed messages until none is left or there is a reason to pause."""
        raise NotImplementedError

    # -- pausing

    def pause(self, why: Pause) -> None:
        """Add *why* to the reasons for not reading."""
        self.pauses.add(why)
        if self._reading:
            self._reading = False
            if self.transport is not None:
                self.transport.pauseProducing()

    def resume(self, why: Pause) -> None:
        """Remove *why*. When no reason is left, input already received is handled, and then reading resumes."""
        if why in self.pauses:
            self.pauses.remove(why)
            if not self.pauses:
                self._batcher.handle(self._receive, b"")

    @property
    def held_back(self) -> bool:
        """Whether reading is paused, so that the client may have sent something that is not read yet."""
        return not self._reading

    def _keep_or_resume(self) -> None:
        """Keep unhandled messages as bytes, take or leave a place by their size, and resume reading if possible."""
        if self.closed_because is not None:
            return
        if self.pauses and self._framer.ready:
            self._complete = b"\n".join([document[0] for document in self._framer.ready])
            self._framer.ready.clear()
        if self._framer.held + len(self._complete) + self._decoding > HELD_WITHOUT_PLACE:
            if not self.factory.take_place(self):
                self.pause(Pause.CROWDED)
        elif self.wants_place:
            self.factory.leave_place(self)
        if not self._reading and not self.pauses and self.transport is not None:
            self._reading = True
            self.factory.reading_resumed(self)
            self.transport.resumeProducing()

    def _restore(self) -> bytes:
        """Return the kept messages to the framer; returns the bytes that are not framed yet."""
        if self._complete:
            left = [(data, None, False) for data in self._complete.split(b"\n")]
            self._framer.ready.extend(left)  # type: ignore[arg-type]
        data, self._complete, self._unframed = self._unframed, b"", b""
        return data

    def pauseProducing(self) -> None:
        """The transport's send buffer is full: the client does not read."""
        if Pause.UNREAD not in self.pauses:
            self.bytes_taken()
            self.pause(Pause.UNREAD)

    def resumeProducing(self) -> None:
        """The transport's send buffer is empty again."""
        self.factory.count_unread(self, -self.unread)
        self.taken_at = None
        self.resume(Pause.UNREAD)

    def stopProducing(self) -> None:
        """The transport was closed; :meth:`connectionLost` follows."""

    def bytes_taken(self) -> None:
        """The client has read bytes of the send buffer."""
        self.taken_at = self.factory.reading_clock.now

    # -- replies out

    def push(self, reply: Reply) -> None:
        """Send *reply* ahead of pending replies; immediately, unless this turn may produce more replies."""
        self._send((reply,))
        if not self._batcher.handling and not self._outbox.waiting:
            self.flush()

    def _send(self, replies: Sequence[Reply]) -> None:
        """Write *replies* at the end of the turn, or as soon as :data:`MAX_UNSENT` are collected."""
        if not replies or not self.connected:
            return
        if not self._unsent:
            self._batcher.write(self.flush)
        self._unsent += replies
        if len(self._unsent) >= MAX_UNSENT:
            self.flush()

    def flush(self) -> None:
        """Write the collected replies."""
        if self._unsent:
            unsent, self._unsent = self._unsent, []
            if self.transport is None or not self.connected:
                return
            try:
                data = encode(unsent)
                self.transport.write(data)
            except Exception:
                self._fail_connection()
            else:
                if self.pauses and Pause.UNREAD in self.pauses:
                    self.factory.count_unread(self, len(data))

    # -- life

    def connectionMade(self) -> None:
        """Register with the factory, which refuses connections over its limit."""
        self.transport.registerProducer(self, True)
        self.factory.opened(self)

    def handshakeCompleted(self) -> None:
        """Over TLS it is known only now who is at the other end."""
        self.factory.arrived(self)

    def enter(self) -> bool:
        """Serve its crawler, which is admitted; False if the connection is one too many, and is being refused."""
        return bool(self.factory.enter(self))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Release all buffers now, since pending replies may keep this object alive."""
        self.connected = 0
        self._drop_input()
        self._outbox.drop()
        self._unsent = []
        self.factory.closed(self, self.closed_because or reason.getErrorMessage())
        self.transport = None

    def close(self, reason: str) -> None:
        """Close the connection once all replies are written. Further input is ignored."""
        if self.closed_because is None:
            self.closed_because = reason
        self._drop_input()
        self.flush()
        if self.transport is not None and not self.transport.disconnecting:
            if self.taken_at is None:
                self.bytes_taken()
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def cut_off(self, reason: str) -> None:
        """Close the connection immediately; unwritten replies are lost."""
        if self.closed_because is None:
            self.closed_because = reason
        self._drop_input()
        self.factory.count_unread(self, -self.unread)
        if self.transport is not None:
            self.transport.abortConnection()

    def _drop_input(self) -> None:
        self._framer = Framer(self._max_size)
        self._complete = self._unframed = b""
        if self.wants_place:
            self.factory.leave_place(self)

    def _fail_connection(self) -> None:
        """Close the connection after an internal error; the crawler reconnects and repeats what was not acked."""
        self.log.failure("Internal error on connection {connection}, which is closed", connection=self.id)
        self.close("internal server error")
