"""The connection of a session: bytes to messages and back, and every time that has to do with it. Pure."""

import random
from collections.abc import Callable, Iterator
from enum import Enum, auto

import attrs

from copilot_socket.client.messages import Message, decode

MAX_LINE = 64 * 1024 * 1024
"""Bytes of a message of the server's."""
CLOSE_WITHIN = 5.0
"""Seconds in which the other end must take what was written before a connection is closed; then it is aborted."""


class TooLong(Exception):
    """The server sends a message that is longer than :data:`MAX_LINE`."""


def backoff(failed: int) -> float:
    """Seconds before the next attempt to connect, after *failed* ones in vain: about 0.1, 0.2, 0.4 … 10."""
    return min(0.1 * 2.0 ** min(failed - 1, 20), 10.0) * random.uniform(0.8, 1.2)


class Phase(Enum):
    """What the connection is at."""

    DOWN = auto()
    """There is none; perhaps one is to be made later."""
    CONNECTING = auto()
    GREETED = auto()
    """``hello`` is sent, and not answered."""
    READY = auto()
    """Reports and requests may be sent."""
    LEAVING = auto()
    """The node stops: nothing more is sent, but its last answers are read."""
    CLOSING = auto()


@attrs.define
class Connection:
    """Its phase, what was received and is to be sent, and the times at which something is to be done."""

    backoff: Callable[[int], float] = backoff
    answer_within: float = 60.0
    """Seconds in which something must arrive after something was sent that is answered."""
    phase: Phase = Phase.DOWN
    connect_at: float | None = None
    beat_at: float | None = None
    close_at: float | None = None
    """When it is closed, or aborted if it is being closed."""
    unheard_since: float | None = None
    """When the first message was sent after which nothing has arrived."""
    _beat_every: float = 30.0
    _failed: int = 0
    """Attempts without a ``welcome``."""
    _received: list[bytes] = attrs.field(factory=list)
    _output: list[bytes] = attrs.field(factory=list)

    @property
    def deadline(self) -> float | None:
        """When :meth:`Session.tick` is to be called for it."""
        silent = None if self.unheard_since is None else self.unheard_since + self.answer_within
        times = (self.connect_at, self.beat_at, self.close_at, silent)
        return min((each for each in times if each is not None), default=None)

    def silent(self, now: float) -> bool:
        """Whether the server has not answered for too long."""
        return self.unheard_since is not None and now >= self.unheard_since + self.answer_within

    def made(self) -> None:
        """It is open."""
        self.phase = Phase.GREETED

    def welcomed(self, beat_every: float, now: float) -> None:
        """The server has accepted the crawler, and wants a message every *beat_every* seconds."""
        self.phase = Phase.READY
        self._failed = 0
        self._beat_every = beat_every
        self.beat_at = now + beat_every

    def beaten(self, now: float) -> None:
        """A heartbeat was sent."""
        self.beat_at = now + self._beat_every

    def leave(self, patience: float, now: float) -> None:
        """Send nothing more, and close it after *patience* seconds."""
        if self.phase in (Phase.GREETED, Phase.READY):
            self.phase = Phase.LEAVING
            self.beat_at = self.unheard_since = None
            self.close_at = now + patience

    def close(self, now: float) -> None:
        """It is being closed."""
        self.phase = Phase.CLOSING
        self.connect_at = self.beat_at = self.unheard_since = None
        self.close_at = now + CLOSE_WITHIN

    def lost(self, now: float, again: bool) -> None:
        """It has ended; *again*: there is to be another one."""
        self.phase = Phase.DOWN
        self.beat_at = self.close_at = self.unheard_since = None
        self._received.clear()
        self._output.clear()
        if again:
            self._failed += 1
            self.connect_at = now + self.backoff(self._failed)

    def send(self, line: bytes) -> None:
        """Send a message that nobody answers."""
        self._output.append(line)

    def ask(self, line: bytes, now: float) -> None:
        """Send a message that the server answers."""
        self._output.append(line)
        if self.unheard_since is None:
            self.unheard_since = now

    def output(self) -> bytes:
        """What is to be written, once."""
        written = b"".join(self._output)
        self._output.clear()
        return written

    def receive(self, data: bytes) -> Iterator[Message | bytes]:
        """The messages that *data* completes; a line that is none as it is. Raises :class:`TooLong`."""
        self.unheard_since = None
        first, *others = data.split(b"\n")
        self._received.append(first)
        if not others:
            if sum(map(len, self._received)) > MAX_LINE:
                raise TooLong
            return
        lines = [b"".join(self._received), *others]
        self._received = [lines.pop()]
        for line in lines:
            if line:
                yield decode(line) or line
