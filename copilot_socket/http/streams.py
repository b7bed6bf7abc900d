"""The stream of one client: what it is sent, and what happens when it reads slowly."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from copilot_socket.core.live_events import Position
from copilot_socket.http.events import Filters, encode

MAX_STALLED = 4
"""Consecutive keep-alives during which a client may not read before it is disconnected."""
MAX_HELD = 16 * 1024
"""Bytes of events that are collected before they are written."""
MAX_WAITING = 256 * 1024
"""Bytes buffered for a slow client, beyond the transport's buffer."""
GREETING = b"retry: 2000\n: live events\n\n"


class Watcher(Protocol):
    """The client's end of a stream."""

    def registerProducer(self, producer: "Stream", streaming: bool) -> object:
        """Register *producer*, which is paused while the client is slow, and stopped when it disconnects."""

    def write(self, data: bytes) -> object:
        """Send *data*."""

    def end(self) -> None:
        """End the stream once all is sent."""

    def abort(self) -> None:
        """Close the connection immediately."""


@implementer(IPushProducer)
class Stream:
    """The stream of one client.

    *on_gone* is called when it disconnects, *on_lost* when it has been told that events were lost; ``allowed``:
    whether it may go on. ``live``: whether it is sent what comes; ``next``: from where on; ``joining``: whether it is
    being sent what it has missed; ``overview``: the last one that it was sent, and when.
    """

    def __init__(
        self,
        filters: Filters,
        watcher: Watcher,
        on_gone: Callable[["Stream"], None],
        on_lost: Callable[["Stream"], None],
        allowed: Callable[[], bool],
    ) -> None:
        self.filters = filters
        self.allowed = allowed
        self.live = self.joining = False
        self.next = Position(0)
        self.overview: tuple[Mapping[str, Any] | None, float] = None, 0.0
        self._watcher = watcher
        self._on_gone = on_gone
        self._on_lost = on_lost
        self._paused = False
        self._stalled = 0
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._held: list[bytes] | None = None
        self._held_size = 0
        self._lost = 0
        self._over = False
        self._ready: Deferred[None] | None = None

    def begin(self) -> None:
        """Send what comes first."""
        self._watcher.registerProducer(self, True)
        self._watcher.write(GREETING)

    def send(self, data: bytes) -> None:
        """Send one event; for a slow client, buffer it, or count it as lost if the buffer is full."""
        if self._over:
            return
        if not self._paused and self._held is not None:
            self._held.append(data)
            self._held_size += len(data)
            if self._held_size > MAX_HELD:
                self.flush()
        elif not self._paused:
            self._watcher.write(data)
        elif self._lost or self._size + len(data) > MAX_WAITING:
            self._lost += 1
        else:
            self._waiting.append(data)
            self._size += len(data)

    def hold(self) -> None:
        """Collect what is sent from now on: one write for many events takes a fraction of the time of many."""
        if self._held is None:
            self._held = []

    def let_go(self) -> None:
        """Collect no more."""
        self.flush()
        self._held = None

    def flush(self) -> None:
        """Write what was collected."""
        if self._held and not self._over:
            self._watcher.write(b"".join(self._held))
            self._held, self._held_size = [], 0

    def tell_lost(self, count: int | None) -> None:
        """Tell the client that *count* events were lost; None: it is not known how many."""
        self.send(encode("lost", {"lost": count}, None))

    async def ready(self) -> bool:
        """Wait until the client has read what it was sent; False if it has disconnected."""
        while self._paused and not self._over:
            self._ready = Deferred()
            await self._ready
        return not self._over

    def keep_alive(self) -> None:
        """Send a comment, or disconnect a client that has not read for :data:`MAX_STALLED` of these."""
        if not self._paused:
            self._watcher.write(b": keep-alive\n\n")
            return
        self._stalled += 1
        if self._stalled >= MAX_STALLED:
            self._watcher.abort()

    def end(self) -> None:
        """The node stops: end the stream, without waiting for a client that does not read."""
        self._over = True
        if self._paused:
            self._watcher.abort()
        else:
            self._watcher.end()

    def pauseProducing(self) -> None:
        """The client is slow."""
        self._paused = True

    def resumeProducing(self) -> None:
        """The client has caught up: send the buffered events, then the number of lost ones."""
        self._paused, self._stalled = False, 0
        while self._waiting and not self._paused:
            data = self._waiting.popleft()
            self._size -= len(data)
            self._watcher.write(data)
        if not self._paused:
            self._go_on()
        if self._lost and not self._paused:
            lost, self._lost = self._lost, 0
            self.tell_lost(lost)
            self._on_lost(self)

    def stopProducing(self) -> None:
        """The client has disconnected."""
        self._over = True
        self._on_gone(self)
        self._go_on()

    def _go_on(self) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.callback(None)
