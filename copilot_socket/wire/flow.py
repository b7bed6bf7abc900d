"""One connection's two directions: read from while nothing speaks against it, sent no more than it takes."""

import secrets
from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from copilot_socket.core.replies import Reply
from copilot_socket.wire.codec import encode
from copilot_socket.wire.framing import Framer
from copilot_socket.wire.limits import LARGE, MAX_UNSENT, Pause
from copilot_socket.wire.outbox import Outbox, Owed
from copilot_socket.wire.stages import Stages


@implementer(IPushProducer)
class Flow(Protocol):
    """A connection, as far as bytes go. It produces replies for its transport, which says when nobody reads them.

    While it is not read from, what has come already is kept as bytes. Whatever it keeps is let go of when it is over.
    """

    log = Logger()
    factory: Any
    transport: Any

    def __init__(self, stages: Stages, owed: Owed, max_size: int) -> None:
        self.id = secrets.token_hex(8)
        self.closed_because: str | None = None
        self.paused: set[Pause] = set()
        """Why it is not read from."""
        self.placed = False
        """It has one of the places for large messages, or waits for one."""
        self.unread = 0
        """Bytes that were sent while the other end did not read."""
        self.taken_at: float | None = None
        """When the other end last took bytes, in seconds of attention; None: nothing waits for it."""
        self._stages = stages
        self._framer = Framer(max_size)
        self._max_size = max_size
        self._outbox = Outbox(owed)
        self._unsent: list[Reply] = []
        self._reading = True
        """Whether the transport reads: not before what has come already is dealt with."""
        self._complete = b""
        """Messages that had come when reading stopped and were not dealt with, a newline between two of them."""
        self._unframed = b""
        """What came in the turn in which reading stopped."""

    # -- bytes in

    def dataReceived(self, data: bytes) -> None:
        """Take *data*; every message that is complete is dealt with when the others have been read from."""
        self._stages.deal(self._receive, data)

    def _receive(self, data: bytes) -> None:
        if not self.connected or self.closed_because is not None:
            return
        if self.paused:
            self._unframed += data
            return
        try:
            if self._complete or self._unframed:
                data = self._take_up() + data
            self._framer.feed(data)
            self._deal()
            if self.paused or self.placed or not self._reading or self._framer.held > LARGE:
                self._settle()
        except Exception:
            self._broken()

    def _deal(self) -> None:
        """Deal with what is framed, until reading stops."""
        raise NotImplementedError

    # -- when it is read from

    def pause(self, why: Pause) -> None:
        """Don't read from it, for this reason as well."""
        self.paused.add(why)
        if self._reading:
            self._reading = False
            if self.transport is not None:
                self.transport.pauseProducing()

    def resume(self, why: Pause) -> None:
        """This is no reason any more. Where there is no other one, what has come already is dealt with first."""
        if why in self.paused:
            self.paused.remove(why)
            if not self.paused:
                self._stages.deal(self._receive, b"")

    @property
    def held_back(self) -> bool:
        """Whether the node does not read from it: it may have said something that nobody has heard."""
        return not self._reading

    def _settle(self) -> None:
        """What has come is dealt with, or reading has stopped: keep what is left as bytes, and see how much it is."""
        if self.closed_because is not None:
            return
        if self.paused and self._framer.ready:
            self._complete = b"\n".join([document[0] for document in self._framer.ready])
            self._framer.ready.clear()
        if self._framer.held + len(self._complete) > LARGE:
            if not self.factory.find_place(self):
                self.pause(Pause.CROWDED)
        elif self.placed:
            self.factory.leave_place(self)
        if not self._reading and not self.paused and self.transport is not None:
            self._reading = True
            self.factory.reads(self)
            self.transport.resumeProducing()

    def _take_up(self) -> bytes:
        """Have what was left when reading stopped dealt with; what has not been framed is given back."""
        if self._complete:
            left = [(data, None, False) for data in self._complete.split(b"\n")]
            self._framer.ready.extend(left)  # type: ignore[arg-type]
        data, self._complete, self._unframed = self._unframed, b"", b""
        return data

    def pauseProducing(self) -> None:
        """The transport holds more than it should: the other end does not read."""
        if Pause.UNREAD not in self.paused:
            self.taken()
            self.pause(Pause.UNREAD)

    def resumeProducing(self) -> None:
        """The other end has taken everything."""
        self.factory.pile_up(self, -self.unread)
        self.taken_at = None
        self.resume(Pause.UNREAD)

    def stopProducing(self) -> None:
        """The connection is lost, of which it is told by :meth:`connectionLost`."""

    def taken(self) -> None:
        """The other end has taken bytes of those that wait for it."""
        self.taken_at = self.factory.attention.now

    # -- replies out

    def push(self, reply: Reply) -> None:
        """Send *reply* now, ahead of answers that wait for a commit. While any do, others of this turn join it."""
        self._send((reply,))
        if not self._stages.dealing and not self._outbox.waiting:
            self.flush()

    def _send(self, replies: Sequence[Reply]) -> None:
        """What a turn of the reactor brings goes together, unless it is much."""
        if not replies or not self.connected:
            return
        if not self._unsent:
            self._stages.send(self.flush)
        self._unsent += replies
        if len(self._unsent) >= MAX_UNSENT:
            self.flush()

    def flush(self) -> None:
        """Send what is to be sent."""
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
                if self.paused and Pause.UNREAD in self.paused:
                    self.factory.pile_up(self, len(data))

    # -- life

    def connectionMade(self) -> None:
        """Hand the connection to the factory, which knows whether there is room."""
        self.transport.registerProducer(self, True)
        self.factory.opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is over. What was kept for it is let go of now, not when the garbage collector comes by."""
        self.connected = 0
        self._drop_input()
        self._outbox.drop()
        self._unsent = []
        self.factory.closed(self, self.closed_because or reason.getErrorMessage())
        self.transport = None

    def close(self, reason: str) -> None:
        """End the connection once all that was sent is out."""
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
        """End the connection at once, whatever has not been sent."""
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
        """Something is wrong here; the crawler comes back, and says again what was not acked."""
        self.log.failure("The server failed on connection {connection}, which is closed", connection=self.id)
        self.close("the server failed")
