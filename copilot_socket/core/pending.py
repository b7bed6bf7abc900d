"""Pending replies: answers that wait for a commit. Lighter than a Deferred, since each report has one."""

from collections.abc import Callable
from typing import Any, Protocol

from copilot_socket.core.replies import Reply


class Listener(Protocol):
    """Called back with a reply; *about* is the argument of :meth:`PendingReply.listen`."""

    def answered(self, reply: Reply | None, about: Any) -> None:
        """The reply is *reply*; None if none is due."""

    def failed(self, problem: Exception, about: Any) -> None:
        """The reply was rejected with *problem*."""


class PendingReply:
    """Resolved or rejected exactly once, after :meth:`listen`; has one listener and no callback chain."""

    __slots__ = ("_about", "_listener")

    def listen(self, listener: Listener, about: Any) -> None:
        """Call *listener* back with the reply and *about*."""
        self._listener, self._about = listener, about

    def resolve(self, reply: Reply | None) -> None:
        """Answer with *reply*."""
        self._listener.answered(reply, self._about)

    def reject(self, error: Exception) -> None:
        """Answer with *error*."""
        self._listener.failed(error, self._about)


class NotYet(Exception):
    """A message can't be handled yet; it waits, and so do the messages behind it on its connection.

    *when* takes a callable and calls it, later, when the message can be handled. Then *handle* is called with the
    connection and the message; its results are those of the handler that raised this.
    """

    def __init__(self, when: Callable[[Callable[[], None]], None], handle: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.when = when
        self.handle = handle
