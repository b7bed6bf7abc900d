"""Limits on the memory of connections, and the reasons for not reading from one.

:mod:`copilot_socket.memory` adds the limits up.
"""

from enum import Enum
from typing import Any

MAX_OWED = 1000
"""Pending replies at which a connection is no longer read from; reading resumes below half of that."""
MAX_OWED_IN_ALL = 10_000
"""Pending replies of all connections beyond which each connection may have only :data:`FEW_OWED`."""
FEW_OWED = 10
DEFERRED = 4
"""Additional weight of a pending reply whose handler is a coroutine, which takes more memory than a commit."""
MAX_UNSENT = 100
"""Replies collected for one write at the end of a turn; at this number they are written immediately."""
MAX_UNREAD = 32 * 1024 * 1024
"""Bytes sent to clients that do not read, in all, beyond the 64 KiB each after which such a client is not read."""
HELD_WITHOUT_PLACE = 64 * 1024
"""Bytes of messages that each connection may hold; for more it needs a place (:class:`Places`)."""
HELD_IN_PLACES = 32 * 1024 * 1024
"""Bytes of messages that the connections with a place may hold, in all."""
CONTENDED_TIMEOUT = 10.0
"""Seconds in which a large message must be complete while other connections wait for a place."""
RATE_PAUSE = 0.05
"""Shortest pause, in seconds, of a connection whose messages arrive too fast: each reads again what is kept."""
MAX_REFUSED = 100
"""Refused connections that stay open until their delayed close; beyond this number the oldest is closed."""


class Pause(Enum):
    """A reason for not reading from a connection. It is read while it has none."""

    NODE = "the node is starting, stopping, or unable to store reports"
    OWED = "too many replies are pending"
    UNREAD = "the client does not read its replies"
    CROWDED = "no place is free for its large message"
    SLOW = "handling its messages takes several turns of the reactor"
    UNSETTLED = "its next message depends on a database operation in progress"
    RATE = "its messages arrive faster than is allowed"
    CLOSING = "the connection is about to close"


class Places:
    """Places for connections that hold more than :data:`HELD_WITHOUT_PLACE` bytes. Others queue, and are not read.

    ``holders``: the time, on the caller's clock, at which each connection got its place.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self.holders: dict[Any, float] = {}
        self._queue: dict[Any, None] = {}

    @property
    def contended(self) -> bool:
        """Whether a connection is queued."""
        return bool(self._queue)

    def take(self, connection: Any, now: float) -> bool:
        """Whether *connection* has a place, new or already held; otherwise it is queued for one."""
        if connection not in self.holders:
            if len(self.holders) >= self._count:
                self._queue[connection] = None
                return False
            self.holders[connection] = now
        return True

    def leave(self, connection: Any, now: float) -> None:
        """Free the place of *connection* for the next in the queue, which resumes; or remove it from the queue."""
        self._queue.pop(connection, None)
        if self.holders.pop(connection, None) is not None and self._queue:
            following = next(iter(self._queue))
            del self._queue[following]
            self.holders[following] = now
            following.resume(Pause.CROWDED)


def places(max_message_size: int) -> int:
    """Number of connections that may each hold a message of *max_message_size* bytes."""
    return max(2, HELD_IN_PLACES // max_message_size)
