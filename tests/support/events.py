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

from tests.support.crawler import PATIENCE, reactor


@attrs.frozen
class Seen:
    """An event as it arrived."""

    id: str | None
    type: str
    data: dict[str, Any]

    @property
    def number(self) -> int:
        """The number in its id."""
        assert self.id is not None
        return int(self.id.rpartition("-")[2])


class EventReader(Protocol):
    """Reads the body of an answer; ``await reader.next()`` gives the events in turn."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._read: list[bytes] = []
        self.blocks: list[str] = []
        """All that came, comments too, as the blank lines divide it."""
        self.ended: Deferred[None] = Deferred()
        self._buffer = b""
        self._events: deque[Seen] = deque()
        self._waiting: deque[Deferred[Seen]] = deque()

    @property
    def raw(self) -> bytes:
        """All bytes that came."""
        return b"".join(self._read)

    @classmethod
    async def watch(cls, port: int, query: str = "", **headers: str) -> "EventReader":
        """Ask the node at *port* for events, such as *query* wants them."""
        agent = Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False))
        url = f"http://127.0.0.1:{port}/api/v1/events{query}"
        response = await treq.client.HTTPClient(agent).get(url, headers=headers)
        reader = cls()
        reader.status = response.code
        reader.headers = {name.decode().lower(): values[0].decode() for name, values in _headers(response)}
        response.original.deliverBody(reader)
        return reader

    async def next(self) -> Seen:
        """The next event."""
        if self._events:
            return self._events.popleft()
        d: Deferred[Seen] = Deferred()
        self._waiting.append(d)
        return await d.addTimeout(PATIENCE, reactor)

    async def until(self, event: str) -> list[Seen]:
        """The events up to the next one that says *event* of itself."""
        seen = [await self.next()]
        while seen[-1].data.get("event") != event:
            seen.append(await self.next())
        return seen

    def leave(self) -> "Deferred[None]":
        """Go away; fires when the connection is over."""
        if not self.ended.called:
            self.transport.loseConnection()  # type: ignore[union-attr]
        return self.ended

    def dataReceived(self, data: bytes) -> None:
        """Keep what is complete."""
        self._read.append(data)
        *blocks, self._buffer = (self._buffer + data).split(b"\n\n")
        for block in blocks:
            text = block.decode()
            self.blocks.append(text)
            fields = dict(line.split(": ", 1) for line in text.split("\n") if not line.startswith(":"))
            if "data" in fields:
                self._arrived(Seen(fields.get("id"), fields["event"], json.loads(fields["data"])))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The answer is over, however that came."""
        reason.trap(ResponseDone, ResponseFailed, PotentialDataLoss, ConnectionDone, ConnectionAborted)
        self.ended.callback(None)

    def _arrived(self, seen: Seen) -> None:
        if self._waiting:
            self._waiting.popleft().callback(seen)
        else:
            self._events.append(seen)


def _headers(response: Any) -> Any:
    return response.headers.getAllRawHeaders()
