"""The feed of live events: its streams, and what each is sent, in bounded time and memory."""

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
from copilot_socket.http.events import Event, Renderer, Wanted

MAX_STREAMS = 100
KEEP_ALIVE = 15.0
"""Seconds between comments that show clients and proxies that the stream lives."""
PATIENCE = 4
"""Keep-alives that a client may be too slow to take, one after another, before it is cut off."""
MAX_WAITING = 256 * 1024
"""Bytes that wait for a slow client, beyond what the transport holds."""
MAX_HEARD = 20_000
"""State events that wait to be sent; what comes beyond is lost to everyone."""
TURN = 5000
"""Steps in one turn of the reactor: some milliseconds."""
EVENT = 10
"""Steps that the making of an event takes; holding it against a stream's filters, and sending it, takes one."""
GREETING = b"retry: 2000\n: live events\n\n"


class Watcher(Protocol):
    """The client's end of a stream."""

    def registerProducer(self, producer: "Stream", streaming: bool) -> object:
        """Have *producer* told when the client is slow, and when it has gone."""

    def write(self, data: bytes) -> object:
        """Send *data*."""

    def end(self) -> None:
        """End the stream in order, once all is sent."""

    def abort(self) -> None:
        """Cut the connection."""


@implementer(IPushProducer)
class Stream:
    """What one client is sent. *on_gone* is called when it has gone away."""

    def __init__(self, wanted: Wanted, watcher: Watcher, on_gone: Callable[["Stream"], None]) -> None:
        self.wanted = wanted
        self._watcher = watcher
        self._on_gone = on_gone
        self._paused = False
        self._stalled = 0
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._lost = 0

    def send(self, data: bytes) -> None:
        """Send one event, keep it until the client has read others, or count it as lost."""
        if not self._paused:
            self._tell_lost()
            self._watcher.write(data)
        elif self._lost or self._size + len(data) > MAX_WAITING:
            self._lost += 1
        else:
            self._waiting.append(data)
            self._size += len(data)

    def lose(self) -> None:
        """Count one event as lost."""
        self._lost += 1

    def keep_alive(self) -> None:
        """Show that the stream lives; cut off who has not read for too long."""
        if not self._paused:
            self._watcher.write(b": keep-alive\n\n")
            return
        self._stalled += 1
        if self._stalled >= PATIENCE:
            self._watcher.abort()

    def end(self) -> None:
        """The node stops. Nobody waits for a client that does not read."""
        if self._paused:
            self._watcher.abort()
        else:
            self._watcher.end()

    def pauseProducing(self) -> None:
        """The client is slow."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It has caught up: first what waited, then how much was lost behind that."""
        self._paused, self._stalled = False, 0
        while self._waiting and not self._paused:
            data = self._waiting.popleft()
            self._size -= len(data)
            self._watcher.write(data)
        if not self._paused:
            self._tell_lost()

    def _tell_lost(self) -> None:
        if self._lost:
            lost, self._lost = self._lost, 0
            self._watcher.write(b"event: lost\ndata: %s\n\n" % orjson.dumps({"lost": lost}))

    def stopProducing(self) -> None:
        """The client has gone away."""
        self._on_gone(self)


class Feed:
    """Sends to each stream the events that it wants, of those on *bus*.

    An event's id is ``<node>-<number>``: the number grows by the event, and *node* is another after each start.
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
        self._heard: deque[StateEvent] = deque()
        self._steps = 0
        self._turn: IDelayedCall | None = None
        self._closed = False
        self.max_streams = MAX_STREAMS
        self._keeping_alive = LoopingCall(self._keep_alive)
        self._keeping_alive.clock = clock

    @property
    def streams(self) -> int:
        """How many are open."""
        return len(self._streams)

    @property
    def refusal(self) -> str | None:
        """Why no stream can be opened now, if none can."""
        if self._closed:
            return "Node is stopping"
        if len(self._streams) >= self.max_streams:
            return f"At most {self.max_streams} event streams may be open"
        return None

    def open(self, wanted: Wanted, watcher: Watcher) -> None:
        """Send *watcher* the events that are *wanted*, from now until it goes away or the node stops."""
        stream = Stream(wanted, watcher, self._gone)
        self._streams[stream] = None
        watcher.registerProducer(stream, True)
        watcher.write(GREETING)
        if not self._keeping_alive.running:
            d = self._keeping_alive.start(KEEP_ALIVE, now=False)
            d.addErrback(lambda failure: self.log.failure("Keeping streams alive failed", failure))
        self._listen()

    def close(self) -> None:
        """End all streams at once, and open no other."""
        self._closed = True
        streams, self._streams = self._streams, {}
        self._listen()
        for stream in streams:
            stream.end()

    def hear(self, state_event: StateEvent) -> None:
        """Send *state_event* to whoever wants it: at once, or in later turns of the reactor if there is very much."""
        if self._turn is None:
            self._turn = self._clock.callLater(0, self._next_turn)
        if not self._heard and self._steps < TURN:
            self._tell(state_event)
        elif len(self._heard) < MAX_HEARD:
            self._heard.append(state_event)
        else:
            for stream in self._streams:
                stream.lose()

    def _next_turn(self) -> None:
        self._turn, self._steps = None, 0
        while self._heard and self._steps < TURN:
            with self.log.failureHandler("Events could not be sent"):
                self._tell(self._heard.popleft())
        if self._heard:
            self._turn = self._clock.callLater(0, self._next_turn)

    def _tell(self, state_event: StateEvent) -> None:
        for event in self._render(state_event):
            self._steps += EVENT + len(self._streams)
            self._send(event)

    def _send(self, event: Event) -> None:
        number = next(self._numbers)
        encoded = None
        for stream in tuple(self._streams):
            if stream.wanted.takes(event):
                encoded = encoded or event.encode(f"{self._node}-{number}", self._now())
                stream.send(encoded)

    def _gone(self, stream: Stream) -> None:
        if stream in self._streams:
            del self._streams[stream]
            self._listen()

    def _listen(self) -> None:
        """Listen to what some stream may want and to nothing else, so that nothing else need be published."""
        self._bus.unsubscribe(self.hear)
        if self._streams:
            self._bus.subscribe(self.hear, frozenset().union(*(stream.wanted.kinds for stream in self._streams)))
            return
        self._heard.clear()
        if self._turn is not None:
            self._turn.cancel()
            self._turn, self._steps = None, 0
        if self._keeping_alive.running:
            self._keeping_alive.stop()

    def _keep_alive(self) -> None:
        for stream in list(self._streams):
            stream.keep_alive()

    def _now(self) -> str:
        moment = datetime.fromtimestamp(self._time_of_day(), UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
