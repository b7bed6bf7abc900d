"""A feed of live events whose events, counts and clients are the test's: no reactor, no database."""

import json
import re
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.core.live_events import Position, encoded, job, joined
from copilot_socket.http.events import Filters, Scope
from copilot_socket.http.feed import Feed
from copilot_socket.http.snapshots import Snapshot
from copilot_socket.http.streams import Stream
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.live_events import StoredEvents
from tests.http.harness import Turns

JOBS = Filters(types=frozenset({"job"}))


class FakeReader:
    """Rows of events."""

    def __init__(self) -> None:
        self.rows: list[StoredEvents] = []
        self.next = 100
        self.away = False
        self.reads = 0

    def add(self, *names: str, changes: str | None = "") -> None:
        """A row with a job's event for each of *names*."""
        if changes == "":
            changes = joined(encoded(job(name, "cancel", account_id="acme")) for name in names)
        self.rows.append(StoredEvents(self.next, None, changes))
        self.next += 1

    async def last(self) -> Position | None:
        """See :class:`.LiveEventReader`."""
        if self.away:
            raise DatabaseAway("away")
        return Position(self.next) if self.next else None

    async def after(self, number: int, limit: int) -> list[StoredEvents]:
        """See :class:`.LiveEventReader`."""
        self.reads += 1
        if self.away:
            raise DatabaseAway("away")
        return [row for row in self.rows if row.number > number][:limit]


class FakeCounting:
    """Counts."""

    def __init__(self, reader: FakeReader) -> None:
        self.reader = reader
        self.counted: list[Scope] = []
        self.overviews = 0
        self.state: dict[str, Any] = {"attention": "none"}
        self.behind = 0
        self.takes: Callable[[], object] = lambda: None
        """Called while jobs are counted."""
        self.stuck: Deferred[None] | None = None
        """What an overview waits for."""

    async def snapshot(self, scope: Scope, least: Position) -> Snapshot:
        """See :class:`.Snapshots`."""
        data: dict[str, Any] = {"of": scope.account_id or "all"}
        if scope == Scope():
            data["overview"] = self.state
        return Snapshot(max(Position(self.reader.next - self.behind), least), data)

    async def counts(self, scope: Scope) -> dict[str, Any]:
        """See :class:`.Snapshots`."""
        self.counted.append(scope)
        self.takes()
        return {"counts": {"queued": len(self.counted)}}

    async def overview(self) -> dict[str, Any]:
        """See :class:`.Snapshots`."""
        self.overviews += 1
        if self.stuck is not None:
            await self.stuck
        if self.reader.away:
            raise DatabaseAway("away")
        return self.state


@attrs.define
class Client:
    """A client: what it was sent. *most*: events that it reads before it is slow; None: it is never slow."""

    most: int | None = None
    read: list[str] = attrs.field(factory=list)
    ids: list[str] = attrs.field(factory=list)
    ended: bool = False
    producer: Stream | None = None

    def registerProducer(self, producer: Stream, streaming: bool) -> None:
        """What comes first."""
        self.producer = producer

    def write(self, data: bytes) -> None:
        """Take note of what comes."""
        for block in data.decode().split("\n\n"):
            fields = dict(re.findall(r"^(\w+): (.*)$", block, re.MULTILINE))
            if "data" in fields:
                content = json.loads(fields["data"])
                self.read.append(
                    content["id"] if fields["event"] == "job" else f"{fields['event']} {next(iter(content.values()))}"
                )
                self.ids += [fields["id"]] if "id" in fields else []
        if self.most is not None and self.producer is not None:
            self.most -= 1
            if self.most <= 0:
                self.producer.pauseProducing()

    def end(self) -> None:
        """The stream has ended."""
        self.ended = True

    abort = end

    def resume(self, most: int | None = None) -> None:
        """Read on."""
        self.most = most
        assert self.producer is not None
        self.producer.resumeProducing()

    def taken(self) -> str:
        """What was received since the last call."""
        read, self.read = self.read, []
        return " ".join(read)


class FeedTestCase(SynchronousTestCase):
    """A feed."""

    def setUp(self) -> None:
        """Make it."""
        self.clock, self.reader = Turns(), FakeReader()
        self.counting = FakeCounting(self.reader)
        self.feed = Feed(self.reader, self.counting, self.clock)

    def open(self, filters: Filters = JOBS, since: Position | None = None, most: int | None = None) -> Client:
        """A client that has connected."""
        client = Client(most)
        self.feed.open(filters, client, since=since)
        return client

    def add(self, *names: str, changes: str | None = "") -> None:
        """A row comes, and the feed is notified."""
        self.reader.add(*names, changes=changes)
        self.feed.notified()
