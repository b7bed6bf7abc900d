"""A reader of live events, for tests inside the reactor."""

import json
from collections import deque
from typing import Any

import attrs
import treq
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss

from copilot_socket.core.live_events import Position
from tests.http.conformity import event_disagreement
from tests.support.crawler import PATIENCE, reactor
from tests.support.server import TOKEN


@attrs.frozen
class Seen:
    """A live event received."""

    id: str | None
    type: str
    data: dict[str, Any]

    @property
    def position(self) -> Position:
        """What the event's id stands for."""
        position = Position.parse(self.id or "")
        assert position is not None
        return position


class EventReader(Protocol):
    """Reads the body of a response; ``await reader.next()`` returns the events in turn."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._read: list[bytes] = []
        self.blocks: list[str] = []
        """All blocks received, comments included, as separated by blank lines."""
        self.ended: Deferred[None] = Deferred()
        self._buffer = b""
        self._events: deque[Seen] = deque()
        self._waiting: deque[Deferred[Seen]] = deque()

    @property
    def raw(self) -> bytes:
        """All bytes received."""
        return b"".join(self._read)

    @classmethod
    async def watch(cls, port: int, query: str = "", **headers: str) -> "EventReader":
        """Request the events of the node at *port*, with the query string *query*."""
        agent = Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False))
        url = f"http://127.0.0.1:{port}/api/v1/events{query}"
        given = {"Authorization": f"Bearer {TOKEN}"} | headers
        response = await treq.client.HTTPClient(agent).get(url, headers=given)
        reader = cls()
        reader.status = response.code
        reader.headers = {name.decode().lower(): values[0].decode() for name, values in _headers(response)}
        response.original.deliverBody(reader)
        return reader

    async def next(self) -> Seen:
        """The next event, which is as the API's description says."""
        d: Deferred[Seen] = Deferred()
        if self._events:
            d.callback(self._events.popleft())
        else:
            self._waiting.append(d)
        seen = await d.addTimeout(PATIENCE, reactor)
        wrong = event_disagreement(seen.type, seen.data)
        assert wrong is None, f"{seen}: {wrong}"
        return seen

    async def until(self, event: str) -> list[Seen]:
        """The events up to the next one whose data has the ``event`` *event*."""
        seen = [await self.next()]
        while seen[-1].data.get("event") != event:
            seen.append(await self.next())
        return seen

    def leave(self) -> "Deferred[None]":
        """Close the connection; fires when it is closed."""
        if not self.ended.called:
            self.transport.loseConnection()  # type: ignore[union-attr]
        return self.ended

    def dataReceived(self, data: bytes) -> None:
        """Keep complete blocks, and parse events."""
        self._read.append(data)
        *blocks, self._buffer = (self._buffer + data).split(b"\n\n")
        for block in blocks:
            text = block.decode()
            self.blocks.append(text)
            fields = dict(line.split(": ", 1) for line in text.split("\n") if not line.startswith(":"))
            if "data" in fields:
                self._arrived(Seen(fields.get("id"), fields["event"], json.loads(fields["data"])))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The response has ended, in one of the expected ways."""
        reason.trap(ResponseDone, ResponseFailed, PotentialDataLoss, ConnectionDone, ConnectionAborted)
        self.ended.callback(None)

    def _arrived(self, seen: Seen) -> None:
        if self._waiting:
            self._waiting.popleft().callback(seen)
        else:
            self._events.append(seen)


def _headers(response: Any) -> Any:
    return response.headers.getAllRawHeaders()
