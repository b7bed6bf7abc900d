"""The feed of live events: follows those of all nodes, and sends each open stream what matches, in bounded time."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.core.live_events import LOST, LiveEvent, Lost, Position, decoded, joined
from copilot_socket.http.events import SNAPSHOT, Filters, encode
from copilot_socket.http.streams import Stream, Watcher
from copilot_socket.http.summaries import Counting, Summaries
from copilot_socket.store.faults import DATABASE_ERRORS
from copilot_socket.store.live_events import StoredEvents

MAX_STREAMS = 100
KEEP_ALIVE = 15.0
"""Seconds between comments that keep the stream alive for clients and proxies."""
COUNT_EACH = 2.0
"""Seconds between counts, while anything happens, and between looks at the overview."""
LOOK_EACH = 1.0
"""Seconds after which the feed looks for events by itself: a notification may be lost."""
FEW = 10
REST_EACH = 0.002
"""Seconds between two reads for each stream beyond :data:`FEW`: what happens in that time is one write to each. With
50 pages open, events come up to 0.1 s later."""
RETRY = 1.0
"""Seconds before what the database has refused is tried again."""
ROWS = 200
"""Rows of events that are read at a time."""
STEPS_PER_TURN = 5000
"""Steps of work in one turn of the reactor: a few milliseconds."""
STEPS_PER_EVENT = 10
"""Steps of rendering an event; matching and sending it takes one more for each stream."""
_NO_ROW = joined([LOST])
"""The changes of a row that is not there any more."""


class Reader(Protocol):
    """:class:`.LiveEventReader`."""

    async def last(self) -> Position | None:
        """The position behind the last event."""

    async def after(self, number: int, limit: int) -> list[StoredEvents]:
        """Up to *limit* rows behind *number*, in order."""


class Feed:
    """Reads each row of events once, however many streams are open.

    A stream that begins behind an earlier event first reads rows by itself, until it has come to those that the feed
    reads: it is *live* then. Where rows are missing, streams begin again with a snapshot.
    """

    log = Logger()

    def __init__(self, reader: Reader, snapshots: Counting, clock: IReactorTime) -> None:
        self._reader = reader
        self._snapshots = snapshots
        self._clock = clock
        self._streams: dict[Stream, None] = {}
        self._next = Position(0)
        """What is sent next to live streams."""
        self._following = False
        self._resting: set[Deferred[None]] = set()
        self._wakes: Deferred[None] = Deferred()
        self._steps = 0
        self._closed = False
        self._summaries = Summaries(snapshots, clock, self._streams.keys())
        self.max_streams = MAX_STREAMS
        self._loops: list[LoopingCall] = []
        """While there are streams."""

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

    def open(
        self,
        filters: Filters,
        watcher: Watcher,
        allowed: Callable[[], bool] = lambda: True,
        since: Position | None = None,
        here: Position | None = None,
    ) -> None:
        """Send *watcher* the events that match *filters*, until it disconnects or the node stops.

        It begins at *since*, where the events from there on are still there; else with a snapshot, or, if the client
        wants none, at *here*. With each keep-alive *allowed* says whether the stream may go on.
        """
        # The same object for the same filters: for each event, it is found by that.
        filters = next((each.filters for each in self._streams if each.filters == filters), filters)
        stream = Stream(filters, watcher, self._gone, self._begin_again, allowed)
        self._streams[stream] = None
        stream.begin()
        if not self._loops:
            self._repeat(KEEP_ALIVE, self._keep_alive)
            self._repeat(COUNT_EACH, lambda: Deferred.fromCoroutine(self._summaries.send()))
        self._start(stream, since, here)

    def close(self) -> None:
        """End all streams, and open no others."""
        self._closed = True
        for stream in list(self._streams):
            self._gone(stream)
            stream.end()
        for d in list(self._resting):
            d.cancel()

    def notified(self, _payload: str = "") -> None:
        """There may be new rows."""
        wakes, self._wakes = self._wakes, Deferred()
        wakes.callback(None)

    # -- one stream

    async def here(self) -> Position | None:
        """Where the events are now; None: not known at the moment."""
        try:
            return await self._reader.last()
        except DATABASE_ERRORS as error:
            self.log.debug("Live events can't be read: {error}", error=error)
            return None

    def _start(
        self, stream: Stream, since: Position | None = None, here: Position | None = None, gap: bool = False
    ) -> None:
        d = Deferred.fromCoroutine(self._join(stream, since, here, gap))
        d.addErrback(self._broken, stream)

    def _broken(self, failure: Failure, stream: Stream) -> None:
        """End *stream*: its client comes back."""
        self.log.failure("Sending events to a stream failed", failure)
        self._gone(stream)
        stream.end()

    async def _join(self, stream: Stream, since: Position | None, here: Position | None, gap: bool) -> None:
        """Send *stream* what it has missed since *since*, or a snapshot, until it is live. *gap*: events are lost."""
        if stream.joining:
            return  # it finds the gap itself
        stream.live, stream.joining = False, True
        while stream in self._streams and not stream.live:
            if not await self._place(stream, since, here, gap):
                await self._rest(RETRY)
            elif await self._catch_up(stream):
                stream.live = stream in self._streams
                if since is not None:
                    self._summaries.eventful = True  # counts are not among what it has missed
            else:
                since, here, gap = None, None, True
        stream.joining = False

    async def _place(self, stream: Stream, since: Position | None, here: Position | None, gap: bool) -> bool:
        """Set what *stream* is sent next: *since*, or what comes behind a snapshot, which it is sent then.

        False while the database is away, or no node numbers events.
        """
        snapshot = None
        try:
            last = await self._reader.last()
            if last is None:
                return False
            if not self._following:
                self._next = last
                Deferred.fromCoroutine(self._follow()).addErrback(self._failed)
            if since is not None and since.number <= last.number:
                stream.next = since
                return True
            if stream.filters.wants(SNAPSHOT):
                # One that was read before the gap would lead into it again.
                snapshot = await self._snapshots.snapshot(stream.filters.scope, last if gap else Position(0))
        except DATABASE_ERRORS as error:
            self.log.debug("Live events can't be read: {error}", error=error)
            return False
        if gap or since is not None:
            stream.tell_lost(None)
        stream.next = here or last
        if snapshot is not None:
            stream.next = snapshot.position
            stream.overview = snapshot.data.get("overview"), self._clock.seconds()
            stream.send(encode(SNAPSHOT, snapshot.data, str(snapshot.position)))
        return True

    async def _catch_up(self, stream: Stream) -> bool:
        """Send *stream* the rows up to those that the feed reads; False where some are missing."""
        while stream in self._streams and stream.next.number < self._next.number:
            rows = await self._rows(stream.next)
            if rows is None:
                await self._rest(RETRY)
                continue
            for row in rows:
                if row.number != stream.next.number or not await self._deliver(row, [stream], live=False):
                    return False
            if not rows:
                return False
        return True

    def _begin_again(self, stream: Stream) -> None:
        """*stream* was told that it has lost events."""
        if stream in self._streams:
            self._start(stream)

    def _gone(self, stream: Stream) -> None:
        self._streams.pop(stream, None)
        stream.live = False
        if not self._streams:
            loops, self._loops = self._loops, []
            for loop in loops:
                if loop.running:
                    loop.stop()
            self.notified()

    # -- all streams

    async def _follow(self) -> None:
        """Read rows and send them to the live streams, as long as there are streams."""
        self._following = True
        try:
            while self._streams:
                wakes = self._wakes
                rows = await self._rows(self._next)
                for row in rows or ():
                    live = [stream for stream in self._streams if stream.live]
                    for stream in live:
                        stream.hold()
                    whole = row.number == self._next.number
                    # Streams that go live meanwhile have got this row.
                    self._next, self._summaries.eventful = Position(row.number + 1), True
                    if not (whole and await self._deliver(row, live, live=True)):
                        self._lose(live)
                for stream in self._streams:
                    stream.let_go()
                if rows and len(self._streams) > FEW:
                    await self._rest(REST_EACH * (len(self._streams) - FEW))
                if not rows:
                    look = self._clock.callLater(LOOK_EACH, self.notified)
                    await wakes
                    if look.active():
                        look.cancel()
                    else:
                        await self._look()
        finally:
            self._following = False

    def _lose(self, streams: Sequence[Stream]) -> None:
        """Rows are missing: these begin with a snapshot again."""
        for stream in streams:
            self._start(stream, gap=True)

    async def _look(self) -> None:
        """Whether the numbers have begun anew, without any event since."""
        last = await self.here()
        if last is not None and last.number > self._next.number and await self._rows(self._next) == []:
            self._next = last
            self._lose([stream for stream in self._streams if stream.live])

    async def _rows(self, first: Position) -> list[StoredEvents] | None:
        """The rows from *first* on; None while the database is away."""
        try:
            return await self._reader.after(first.number - 1, ROWS)
        except DATABASE_ERRORS as error:
            self.log.debug("Live events can't be read: {error}", error=error)
            return None

    async def _deliver(self, row: StoredEvents, streams: Sequence[Stream], *, live: bool) -> bool:
        """Send *streams*, as long as they are *live* or not, the events of *row* that they have not got.

        False if these are lost.
        """
        try:
            for part, event in enumerate(decoded(row.changes or _NO_ROW)):
                await self._send(event, row, part, streams, live)
        except Lost:
            return False
        for stream in streams:
            if stream.live is live:
                stream.next = max(stream.next, Position(row.number + 1))
        return True

    async def _send(
        self, event: LiveEvent, row: StoredEvents, part: int, streams: Sequence[Stream], live: bool
    ) -> None:
        encoded, place = None, Position(row.number, part)
        wanted: dict[Filters, bool] = {}  # many streams have the same filters
        for stream in streams:
            wants = wanted.get(stream.filters)
            if wants is None:
                wants = wanted[stream.filters] = stream.filters.matches(event)
            if wants and stream.live is live and stream.next <= place:
                if not live and not await stream.ready():
                    continue
                if encoded is None:
                    data = {**event.data, "timestamp": row.at}
                    encoded = encode(event.type, data, str(Position(row.number, part + 1)))
                stream.send(encoded)
        self._steps += STEPS_PER_EVENT + len(streams)
        if self._steps > STEPS_PER_TURN:
            self._steps = 0
            for stream in streams:
                stream.flush()
            await self._rest(0)

    def _repeat(self, seconds: float, work: Callable[[], object]) -> None:
        # A loop that was stopped during its work can't be started again before that has ended: each is started once.
        loop = LoopingCall(work)
        loop.clock = self._clock
        self._loops.append(loop)
        loop.start(seconds, now=False).addErrback(self._failed)

    def _keep_alive(self) -> None:
        for stream in list(self._streams):
            if stream.allowed():
                stream.keep_alive()
            else:
                self._gone(stream)
                stream.end()

    async def _rest(self, seconds: float) -> None:
        """Go on after *seconds*, or when the feed is closed."""
        if self._closed:
            return
        d: Deferred[None] = deferLater(self._clock, seconds)
        self._resting.add(d)
        with contextlib.suppress(CancelledError):
            await d
        self._resting.discard(d)

    def _failed(self, failure: Failure) -> None:
        """End all streams: clients come back."""
        self.log.failure("Following live events failed", failure)
        for stream in list(self._streams):
            self._gone(stream)
            stream.end()
