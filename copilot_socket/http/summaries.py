"""Counts and the overview, which streams are sent beside the events: each is read once for all of them."""

from collections.abc import Collection
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from copilot_socket.core.live_events import Position
from copilot_socket.http.events import COUNTS, OVERVIEW, Scope, encode
from copilot_socket.http.overview import steady
from copilot_socket.http.snapshots import Snapshot
from copilot_socket.http.streams import Stream
from copilot_socket.store.faults import DATABASE_ERRORS

RESTLESS_EACH = 10.0
"""Seconds after which an overview is sent in which only that is new which changes all the time."""

LATE = 10.0
"""Seconds after which a database that does not answer counts as away, long before its queries time out."""
REST = 9
"""Jobs are counted again after so many times as long as that took: PostgreSQL counts for a tenth
of the time at most, however many lanes there are."""


class Counting(Protocol):
    """:class:`.Snapshots`."""

    async def snapshot(self, scope: Scope, least: Position) -> Snapshot:
        """The state of things, at *least* or later."""

    async def counts(self, scope: Scope) -> dict[str, Any]:
        """Counts of jobs."""

    async def overview(self) -> dict[str, Any]:
        """What needs a person, and what restricts and serves the jobs."""


class Summaries:
    """Sends *streams* that are live what they want of counts and overviews. ``eventful``: there were events since."""

    log = Logger()

    def __init__(self, counting: Counting, clock: IReactorTime, streams: Collection[Stream]) -> None:
        self._counting = counting
        self._clock = clock
        self._streams = streams
        self.eventful = False
        self._rested_at = clock.seconds()

    async def send(self) -> None:
        """Send counts, if there were events, and the overview, if it has changed. Call this every other second."""
        late = self._clock.callLater(LATE, self._away)
        try:
            began = self._clock.seconds()
            if self.eventful and began >= self._rested_at:
                self.eventful = False
                await self._counts()
                now = self._clock.seconds()
                self._rested_at = now + REST * (now - began)
            if self._wanting(OVERVIEW):
                self._overview(await self._counting.overview())
        except DATABASE_ERRORS as error:
            self.eventful = True
            self._away()
            self.log.debug("Jobs can't be counted for event streams: {error}", error=error)
        finally:
            if late.active():
                late.cancel()

    def _wanting(self, type_: str) -> list[Stream]:
        return [stream for stream in self._streams if stream.live and stream.filters.wants(type_)]

    async def _counts(self) -> None:
        for scope in {stream.filters.scope for stream in self._streams if stream.filters.wants(COUNTS)}:
            encoded = encode(COUNTS, await self._counting.counts(scope), None)
            for stream in self._wanting(COUNTS):
                if stream.filters.scope == scope:
                    stream.send(encoded)

    def _away(self) -> None:
        """Send the last overview once more, with a database that is away: nothing else that is sent tells of it."""
        for stream in self._wanting(OVERVIEW):
            before, _ = stream.overview
            if before is not None and before["database"]["connected"]:
                overview = {**before, "database": {**before["database"], "connected": False}}
                stream.overview = overview, self._clock.seconds()
                stream.send(encode(OVERVIEW, overview, None))

    def _overview(self, overview: dict[str, Any]) -> None:
        now, encoded = self._clock.seconds(), encode(OVERVIEW, overview, None)
        lately = steady(overview)
        changed: dict[int, bool] = {}  # most streams were sent the same one
        for stream in self._wanting(OVERVIEW):
            before, sent_at = stream.overview
            if id(before) not in changed:
                changed[id(before)] = before is None or steady(before) != lately
            if changed[id(before)] or (now - sent_at >= RESTLESS_EACH and before != overview):
                stream.overview = overview, now
                stream.send(encoded)
