"""Bounds of what connections keep in memory, and the reasons for not reading from one.

:mod:`copilot_socket.memory` adds all of them up.
"""

from enum import Enum
from typing import Any

MAX_OWED = 1000
"""Pending replies at which a connection is no longer read from; reading resumes below half of that."""
MAX_OWED_IN_ALL = 10_000
"""Pending replies of all connections beyond which each connection may only have :data:`FEW_OWED`."""
FEW_OWED = 10
DEFERRED = 4
"""Additional weight of a pending reply that a coroutine works on: it takes more memory than waiting for a commit."""
MAX_UNSENT = 100
"""Replies collected for one write at the end of a turn; at this number they are written at once."""
MAX_UNREAD = 32 * 1024 * 1024
"""Bytes sent to clients that do not read, in all, beyond the 64 KiB at which reading from such a client stops."""
LARGE = 64 * 1024
"""Bytes of an incomplete message that every connection may hold."""
MAX_LARGE = 32 * 1024 * 1024
"""Bytes of incomplete messages of the connections that may hold more, in all."""
HURRY = 10.0
"""Seconds in which a large message must be complete while other connections are queued for a place."""
MAX_REFUSED = 100
"""Connections over SOCKET_MAX_CONNECTIONS that stay open until their time is up; beyond that the oldest is closed."""


class Pause(Enum):
    """Why a connection is not read from. It is read from while there is no reason not to."""

    NODE = "the node starts, stops, or can't store what it would read"
    OWED = "too many replies are pending"
    UNREAD = "its client does not read what it is sent"
    CROWDED = "too many other connections are in the middle of a large message"
    SLOW = "what was read takes several turns of the reactor"
    UNSETTLED = "what its next message means depends on what is being read from or written to the database"
    CLOSING = "it will be closed"


class Places:
    """The connections that may hold more than :data:`LARGE` bytes of a message; others queue, and are not read from.

    ``holders`` gives the time at which each got its place, on the caller's clock.
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
        """Whether *connection* has a place, now or since before; otherwise it is queued for one."""
        if connection not in self.holders:
            if len(self.holders) >= self._count:
                self._queue[connection] = None
                return False
            self.holders[connection] = now
        return True

    def leave(self, connection: Any, now: float) -> None:
        """Free the place of *connection*, or take it from the queue. The next one gets its place and is resumed."""
        self._queue.pop(connection, None)
        if self.holders.pop(connection, None) is not None and self._queue:
            following = next(iter(self._queue))
            del self._queue[following]
            self.holders[following] = now
            following.resume(Pause.CROWDED)


def places(max_message_size: int) -> int:
    """How many connections may be in the middle of a large message at once."""
    return max(2, MAX_LARGE // max_message_size)
