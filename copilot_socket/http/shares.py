"""Memory budgets shared by all HTTP connections: one for large request bodies, one for large unread answers."""

MAX_BODIES = 64 * 1024 * 1024
"""Bytes of request bodies, over all connections, from their arrival to their answer."""
MAX_ANSWERS = 32 * 1024 * 1024
"""Bytes of answers not read by their clients yet, over all connections."""
UNCOUNTED = 16 * 1024
"""Bytes up to which a body or answer is not counted, so that large ones never block small ones."""


class Budget:
    """A budget of *limit* bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    def take(self, size: int) -> bool:
        """Take *size* bytes; returns False if fewer are left."""
        if self.used + size > self._limit:
            return False
        self.used += size
        return True

    def give_back(self, size: int) -> None:
        """Return *size* bytes to the budget."""
        self.used -= size


class Share:
    """The bytes of *budget* taken for one request."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._size = 0

    def grow(self, size: int) -> bool:
        """Grow the share to *size* bytes, unless it is larger; returns False if the budget has too few left."""
        missing = size - self._size if size > UNCOUNTED else 0
        if missing > 0:
            if not self._budget.take(missing):
                return False
            self._size = size
        return True

    def free(self) -> None:
        """Return the whole share to the budget; idempotent."""
        self._budget.give_back(self._size)
        self._size = 0
