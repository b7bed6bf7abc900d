"""What connections may keep in memory, and why one is not read from. ``copilot_socket.memory`` adds all of it up."""

from enum import Enum
from typing import Any

MAX_OWED = 1000
"""Replies that a connection may wait for before it is not read from; it is again at half of that."""
MAX_OWED_IN_ALL = 20_000
FEW_OWED = 20
"""While more than that are owed to all connections together, each of them may wait for only so many."""
DEFERRED = 4
"""A reply that a coroutine works on takes as much memory as so many that only wait for a commit."""
MAX_UNSENT = 100
"""Replies that are kept for one write at the end of a turn; more than that are written at once."""
MAX_POINTER = 512
"""Characters of the JSON pointer in an error: names of fields may be as long as a message."""
MAX_UNREAD = 64 * 1024 * 1024
"""Bytes of replies that clients don't read, in all, beyond the 64 KiB at which one is not read from any more."""
LARGE = 64 * 1024
"""Bytes of an incomplete message that any connection may hold."""
MAX_LARGE = 64 * 1024 * 1024
"""Bytes of incomplete messages of those connections that may hold more, in all."""
MAX_REFUSED = 100
"""Connections past the limit that are kept for a moment; of more than that the oldest is closed at once."""


class Pause(Enum):
    """Why a connection is not read from. It is read from while there is no reason not to."""

    NODE = "the node takes no messages: it starts or stops, or its queue of reports is full, or the database is away"
    OWED = "too many replies are owed to it"
    UNREAD = "it does not read what it is sent"
    CROWDED = "too many other connections are in the middle of a large message"
    CLOSING = "it is about to be closed"


class Places:
    """Which connections may hold more than :data:`LARGE` bytes of a message; others wait in line, not read from.

    ``holders``: since when each has its place, in the caller's seconds.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self.holders: dict[Any, float] = {}
        self._line: dict[Any, None] = {}

    def take(self, connection: Any, now: float) -> bool:
        """Whether *connection* has a place; where it has none it waits in line."""
        if connection not in self.holders:
            if len(self.holders) >= self._count:
                self._line[connection] = None
                return False
            self.holders[connection] = now
        return True

    def leave(self, connection: Any, now: float) -> None:
        """*connection* needs no place any more, nor one in line; the next one is read from."""
        self._line.pop(connection, None)
        if self.holders.pop(connection, None) is not None and self._line:
            following = next(iter(self._line))
            del self._line[following]
            self.holders[following] = now
            following.resume(Pause.CROWDED)


def places(max_message_size: int) -> int:
    """How many connections may be in the middle of a large message at once."""
    return max(2, MAX_LARGE // max_message_size)
