"""Flow control of one connection: it is read from unless there is a reason not to, and sent no more than is read."""

import secrets
from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from copilot_socket.core.replies import Reply
from copilot_socket.wire.codec import encode
from copilot_socket.wire.framing import Framer
from copilot_socket.wire.limits import LARGE, MAX_UNSENT, Pause
from copilot_socket.wire.outbox import Outbox, Owed
from copilot_socket.wire.turn import TurnBatcher


@implementer(IPushProducer)
class Flow(LineReceiver):
    """Bytes in and replies out: a LineReceiver whose framing rules are its own.

    A push producer of its own transport, which reports when the client does not read. What has arrived and cannot be
    handled during a pause is kept as bytes. Every buffer is released when the connection is lost. A subclass handles
    what is framed, in :meth:`_deal`.
    """

    log = Logger()
    factory: Any
    transport: Any

    def __init__(self, batcher: TurnBatcher, owed: Owed, max_size: int) -> None:
        self.id = secrets.token_hex(8)
        self.closed_because: str | None = None
        self.pauses: set[Pause] = set()
        """Why it is not read from."""
        self.placed = False
        """It has a place for a large message, or is queued for one."""
        self.unread = 0
        """Bytes sent since the client stopped reading."""
        self.taken_at: float | None = None
        """When the client last took bytes, in seconds of the reading clock; None: nothing waits for it."""
        self._batcher = batcher
        self._framer = Framer(max_size)
        self._max_size = max_size
        self._outbox = Outbox(owed)
        self._unsent: list[Reply] = []
        self._reading = True
        """Whether the transport reads: after a pause not before everything that had arrived is handled."""
        self._complete = b""
        """Complete messages that were not handled when the pause began, separated by newlines."""
        self._unframed = b""
        """What arrived in the turn in which the pause began."""
        self._decoding = 0
        """Bytes of a message that is being decoded over several turns."""

    # -- bytes in

    def dataReceived(self, data: bytes) -> None:
        """Take *data*; complete messages are handled once all connections have been read from in this turn."""
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
            self._deal()
            if self.pauses or self.placed or not self._reading or self._framer.held > LARGE:
                self._settle()
        except Exception:
            self._broken()

    def _deal(self) -> None:
        """Handle what is framed, until there is a reason to pause."""
        raise NotImplementedError

    # -- pausing

    def pause(self, why: Pause) -> None:
        """Stop reading, for this reason too."""
        self.pauses.add(why)
        if self._reading:
            self._reading = False
            if self.transport is not None:
                self.transport.pauseProducing()

    def resume(self, why: Pause) -> None:
        """Remove a reason. When none is left, what has already arrived is handled, and then reading resumes."""
        if why in self.pauses:
            self.pauses.remove(why)
            if not self.pauses:
                self._batcher.handle(self._receive, b"")

    @property
    def held_back(self) -> bool:
        """Whether the node does not read from it, so that it may have sent something that is not known yet."""
        return not self._reading

    def _settle(self) -> None:
        """Keep what is not handled as bytes, take a place for it if it is large, else resume reading if possible."""
        if self.closed_because is not None:
            return
        if self.pauses and self._framer.ready:
            self._complete = b"\n".join([document[0] for document in self._framer.ready])
            self._framer.ready.clear()
        if self._framer.held + len(self._complete) + self._decoding > LARGE:
            if not self.factory.find_place(self):
                self.pause(Pause.CROWDED)
        elif self.placed:
            self.factory.leave_place(self)
        if not self._reading and not self.pauses and self.transport is not None:
            self._reading = True
            self.factory.reads(self)
            self.transport.resumeProducing()

    def _restore(self) -> bytes:
        """Put back the complete messages; returns the bytes that are not framed yet."""
        if self._complete:
            left = [(data, None, False) for data in self._complete.split(b"\n")]
            self._framer.ready.extend(left)  # type: ignore[arg-type]
        data, self._complete, self._unframed = self._unframed, b"", b""
        return data

    def pauseProducing(self) -> None:
        """Called by the transport when its send buffer is full: the client does not read."""
        if Pause.UNREAD not in self.pauses:
            self.taken()
            self.pause(Pause.UNREAD)

    def resumeProducing(self) -> None:
        """Called by the transport when its send buffer is empty."""
        self.factory.pile_up(self, -self.unread)
        self.taken_at = None
        self.resume(Pause.UNREAD)

    def stopProducing(self) -> None:
        """Called by the transport when it is closed; :meth:`connectionLost` follows."""

    def taken(self) -> None:
        """Called by the transport when the client has taken bytes of the send buffer."""
        self.taken_at = self.factory.reading_clock.now

    # -- replies out

    def push(self, reply: Reply) -> None:
        """Send *reply* ahead of pending replies; at once, unless the present turn may bring more to send."""
        self._send((reply,))
        if not self._batcher.handling and not self._outbox.waiting:
            self.flush()

    def _send(self, replies: Sequence[Reply]) -> None:
        """Write *replies* at the end of the turn, or when there are many."""
        if not replies or not self.connected:
            return
        if not self._unsent:
            self._batcher.write(self.flush)
        self._unsent += replies
        if len(self._unsent) >= MAX_UNSENT:
            self.flush()

    def flush(self) -> None:
        """Write what is to be sent."""
        if self._unsent:
            unsent, self._unsent = self._unsent, []
            if self.transport is None or not self.connected:
                return
            try:
                data = encode(unsent)
                self.transport.write(data)
            except Exception:
                self._broken()
            else:
                if self.pauses and Pause.UNREAD in self.pauses:
                    self.factory.pile_up(self, len(data))

    # -- life

    def connectionMade(self) -> None:
        """Register with the factory, which refuses the connection if there is no room."""
        self.transport.registerProducer(self, True)
        self.factory.opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Release all buffers now: pending replies may keep this object alive for a while."""
        self.connected = 0
        self._drop_input()
        self._outbox.drop()
        self._unsent = []
        self.factory.closed(self, self.closed_because or reason.getErrorMessage())
        self.transport = None

    def close(self, reason: str) -> None:
        """Close the connection once everything sent is written. What is received is ignored."""
        if self.closed_because is None:
            self.closed_because = reason
        self._drop_input()
        self.flush()
        if self.transport is not None and not self.transport.disconnecting:
            if self.taken_at is None:
                self.taken()
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def cut_off(self, reason: str) -> None:
        """Close the connection at once, whatever is not written yet."""
        if self.closed_because is None:
            self.closed_because = reason
        self._drop_input()
        self.factory.pile_up(self, -self.unread)
        if self.transport is not None:
            self.transport.abortConnection()

    def _drop_input(self) -> None:
        self._framer = Framer(self._max_size)
        self._complete = self._unframed = b""
        if self.placed:
            self.factory.leave_place(self)

    def _broken(self) -> None:
        """Close the connection after an internal error; its crawler reconnects and repeats what was not acked."""
        self.log.failure("The server failed on connection {connection}, which is closed", connection=self.id)
        self.close("the server failed")
