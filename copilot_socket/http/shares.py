"""Memory that all HTTP connections share: large request bodies on one side, large unread answers on the other."""

MAX_BODIES = 64 * 1024 * 1024
"""Bytes of request bodies at once, over all connections, from their arrival to their answer."""
MAX_ANSWERS = 32 * 1024 * 1024
"""Bytes of answers that their clients have not read yet, over all connections."""
UNCOUNTED = 16 * 1024
"""Bytes: what is no larger is not counted, so that large requests leave small ones their place."""


class Budget:
    """*limit* bytes, of which shares are taken."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    def take(self, size: int) -> bool:
        """Take *size* bytes; False if there are not so many left."""
        if self.used + size > self._limit:
            return False
        self.used += size
        return True

    def give_back(self, size: int) -> None:
        """Give *size* bytes back."""
        self.used -= size


class Share:
    """What one request has of *budget*."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._size = 0

    def grow(self, size: int) -> bool:
        """Make the share *size* bytes, unless it is larger; False if there are not so many left."""
        missing = size - self._size if size > UNCOUNTED else 0
        if missing > 0:
            if not self._budget.take(missing):
                return False
            self._size = size
        return True

    def free(self) -> None:
        """Give everything back; once more changes nothing."""
        self._budget.give_back(self._size)
        self._size = 0
