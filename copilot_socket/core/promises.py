"""A reply that comes later: what a Deferred is, for one listener and without a chain. Every report makes one."""

from collections.abc import Callable
from typing import Any, Protocol

from copilot_socket.core.replies import Reply


class Listener(Protocol):
    """Who waits for replies; *about* is what was given to :meth:`Promise.listen`."""

    def answered(self, reply: Reply | None, about: Any) -> None:
        """This is the reply; None: there is nothing to be said."""

    def failed(self, problem: Exception, about: Any) -> None:
        """There is none, for this reason."""


class Promise:
    """Whoever makes it keeps or breaks it once, after somebody has begun to listen."""

    __slots__ = ("_about", "_listener")

    def listen(self, listener: Listener, about: Any) -> None:
        """Have *listener* told, with *about*."""
        self._listener, self._about = listener, about

    def keep(self, reply: Reply | None) -> None:
        """This is the reply."""
        self._listener.answered(reply, self._about)

    def fail(self, error: Exception) -> None:
        """There is none; *error* says why."""
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
