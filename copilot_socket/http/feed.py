"""The feed of live events: sends events to the open streams, in bounded time and memory."""

import itertools
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import orjson
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from copilot_socket.event_bus import EventBus, StateEvent
from copilot_socket.http.events import Event, Filters, Renderer

MAX_STREAMS = 100
KEEP_ALIVE = 15.0
"""Seconds between comments that keep the stream alive for clients and proxies."""
MAX_STALLED = 4
"""Consecutive keep-alives during which a client may not read before it is disconnected."""
MAX_WAITING = 256 * 1024
"""Bytes buffered for a slow client, beyond the transport's buffer."""
MAX_BACKLOG = 20_000
"""State events that wait to be sent; beyond that, events are lost to all streams."""
STEPS_PER_TURN = 5000
"""Steps of work in one turn of the reactor: a few milliseconds."""
STEPS_PER_EVENT = 10
"""Steps of rendering an event; matching and sending it takes one more for each stream."""
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
    """The stream of one client. *on_gone* is called when it disconnects; ``allowed``: whether it may go on."""

    def __init__(
        self,
        filters: Filters,
        watcher: Watcher,
        on_gone: Callable[["Stream"], None],
        allowed: Callable[[], bool],
    ) -> None:
        self.filters = filters
        self.allowed = allowed
        self._watcher = watcher
        self._on_gone = on_gone
        self._paused = False
        self._stalled = 0
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._lost = 0

    def send(self, data: bytes) -> None:
        """Send one event; for a slow client, buffer it, or count it as lost if the buffer is full."""
        if not self._paused:
            self._report_lost()
            self._watcher.write(data)
        elif self._lost or self._size + len(data) > MAX_WAITING:
            self._lost += 1
        else:
            self._waiting.append(data)
            self._size += len(data)

    def count_lost(self) -> None:
        """Count one event as lost."""
        self._lost += 1

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
            self._report_lost()

    def _report_lost(self) -> None:
        if self._lost:
            lost, self._lost = self._lost, 0
            self._watcher.write(b"event: lost\ndata: %s\n\n" % orjson.dumps({"lost": lost}))

    def stopProducing(self) -> None:
        """The client has disconnected."""
        self._on_gone(self)


class Feed:
    """Subscribes to *bus*, and sends each stream the events that match its filters.

    An event's id is ``<node>-<number>``: *number* counts the events, and *node* changes with every start.
    """

    log = Logger()

    def __init__(
        self,
        bus: EventBus,
        clock: IReactorTime,
        node: str,
        name_of: Callable[[str], str],
        time_of_day: Callable[[], float] = time.time,
    ) -> None:
        self._bus = bus
        self._time_of_day = time_of_day
        self._node = node
        self._render = Renderer(name_of)
        self._numbers = itertools.count(1)
        self._streams: dict[Stream, None] = {}
        self._clock = clock
        self._backlog: deque[StateEvent] = deque()
        self._steps = 0
        self._turn: IDelayedCall | None = None
        self._closed = False
        self.max_streams = MAX_STREAMS
        self._keeping_alive = LoopingCall(self._keep_alive)
        self._keeping_alive.clock = clock

    @property
    def streams(self) -> int:
        """The number of open streams."""
        return len(self._streams)

    @property
    def refusal(self) -> str | None:
        """Why no stream can be opened now; None if one can."""
        if self._closed:
            return "Node is stopping"
        if len(self._streams) >= self.max_streams:
            return f"At most {self.max_streams} event streams may be open; try again later"
        return None

    def open(self, filters: Filters, watcher: Watcher, allowed: Callable[[], bool] = lambda: True) -> None:
        """Send *watcher* the events that match *filters*, until it disconnects or the node stops.

        With each keep-alive *allowed* says whether the stream may go on.
        """
        stream = Stream(filters, watcher, self._gone, allowed)
        self._streams[stream] = None
        watcher.registerProducer(stream, True)
        watcher.write(GREETING)
        if not self._keeping_alive.running:
            d = self._keeping_alive.start(KEEP_ALIVE, now=False)
            d.addErrback(lambda failure: self.log.failure("Sending keep-alives to event streams failed", failure))
        self._update_subscription()

    def close(self) -> None:
        """End all streams, and open no others."""
        self._closed = True
        streams, self._streams = self._streams, {}
        self._update_subscription()
        for stream in streams:
            stream.end()

    def receive(self, state_event: StateEvent) -> None:
        """Send *state_event* to the matching streams: immediately, or in a later turn if this one is full."""
        if self._turn is None:
            self._turn = self._clock.callLater(0, self._next_turn)
        if not self._backlog and self._steps < STEPS_PER_TURN:
            self._deliver(state_event)
        elif len(self._backlog) < MAX_BACKLOG:
            self._backlog.append(state_event)
        else:
            for stream in self._streams:
                stream.count_lost()

    def _next_turn(self) -> None:
        self._turn, self._steps = None, 0
        while self._backlog and self._steps < STEPS_PER_TURN:
            with self.log.failureHandler("Sending an event to the streams failed"):
                self._deliver(self._backlog.popleft())
        if self._backlog:
            self._turn = self._clock.callLater(0, self._next_turn)

    def _deliver(self, state_event: StateEvent) -> None:
        for event in self._render(state_event):
            self._steps += STEPS_PER_EVENT + len(self._streams)
            self._send(event)

    def _send(self, event: Event) -> None:
        number = next(self._numbers)
        encoded = None
        for stream in tuple(self._streams):
            if stream.filters.matches(event):
                encoded = encoded or event.encode(f"{self._node}-{number}", self._now())
                stream.send(encoded)

    def _gone(self, stream: Stream) -> None:
        if stream in self._streams:
            del self._streams[stream]
            self._update_subscription()

    def _update_subscription(self) -> None:
        """Subscribe to the state events that some stream may want only, so that no others need be published."""
        self._bus.unsubscribe(self.receive)
        if self._streams:
            self._bus.subscribe(self.receive, frozenset().union(*(stream.filters.kinds for stream in self._streams)))
            return
        self._backlog.clear()
        if self._turn is not None:
            self._turn.cancel()
            self._turn, self._steps = None, 0
        if self._keeping_alive.running:
            self._keeping_alive.stop()

    def _keep_alive(self) -> None:
        for stream in list(self._streams):
            if stream.allowed():
                stream.keep_alive()
            else:
                self._gone(stream)
                stream.end()

    def _now(self) -> str:
        moment = datetime.fromtimestamp(self._time_of_day(), UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
