"""Replies that wait for a commit: lighter than a Deferred, with one listener and no chain. Every report makes one."""

from collections.abc import Callable
from typing import Any, Protocol

from copilot_socket.core.replies import Reply


class Listener(Protocol):
    """Who waits for a reply; *about* is what was given to :meth:`PendingReply.listen`."""

    def answered(self, reply: Reply | None, about: Any) -> None:
        """The reply; None if none is due."""

    def failed(self, problem: Exception, about: Any) -> None:
        """Rejected, for this reason."""


class PendingReply:
    """Resolved or rejected once, by whoever made it, after somebody has begun to listen."""

    __slots__ = ("_about", "_listener")

    def listen(self, listener: Listener, about: Any) -> None:
        """Call *listener* back, with *about*."""
        self._listener, self._about = listener, about

    def resolve(self, reply: Reply | None) -> None:
        """Answer with *reply*."""
        self._listener.answered(reply, self._about)

    def reject(self, error: Exception) -> None:
        """Answer with *error*."""
        self._listener.failed(error, self._about)


class NotYet(Exception):
    """A message can't be handled before something else is settled, and those behind it wait with it.

    *when* calls what it is given at that time, which is not now. *handle* is called then with the connection and the
    message, and has the same results as the handler that has raised this.
    """

    def __init__(self, when: Callable[[Callable[[], None]], None], handle: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.when = when
        self.handle = handle
