"""A reply that comes later: what a Deferred is, for one listener and without a chain. Every report makes one."""

from collections.abc import Callable
from typing import Any

from copilot_socket.core.replies import Reply

Kept = Callable[[Reply | None, Any], None]
"""Called with the reply, or None where nothing is to be said, and what was given to :meth:`Promise.listen`."""
Broken = Callable[[Exception, Any], None]
"""Called with the exception in the place of the reply, and the same."""


class Promise:
    """Whoever makes it keeps or breaks it once, after somebody has begun to listen."""

    __slots__ = ("_about", "_broken", "_kept")

    def listen(self, kept: Kept, broken: Broken, about: Any) -> None:
        """Have *kept* or *broken* called, with *about* behind the first argument."""
        self._kept, self._broken, self._about = kept, broken, about

    def keep(self, reply: Reply | None) -> None:
        """This is the reply."""
        self._kept(reply, self._about)

    def fail(self, error: Exception) -> None:
        """There is none; *error* says why."""
        self._broken(error, self._about)
