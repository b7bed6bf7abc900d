"""The pool of general connections: for the HTTP port, timers and rare writes.

Writer, discoveries, listener, live events and probe have connections of their own and never wait for the pool.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from copilot_socket.store.addresses import Addresses
from copilot_socket.store.connection import Connection, Limits, Params, Row, Transaction
from copilot_socket.store.faults import DatabaseAway

__all__ = ["Database", "DatabaseAway", "PoolUse", "Transaction"]

T = TypeVar("T")

DEDICATED = 5
"""Connections of a node outside the pool: of the writer, discoveries, the listener, live events, and the probe."""


@attrs.frozen
class PoolUse:
    """Connections of the pool, those in use, and the callers that wait for one."""

    size: int
    in_use: int
    waiting: int


class Database:
    """A pool of at most *size* connections to *dsn*, made when first needed. Waiting callers are served in order."""

    def __init__(self, dsn: str, reactor: IReactorTime, limits: Limits, size: int) -> None:
        self.dsn = dsn
        self.reactor = reactor
        self.limits = limits
        self._size = size
        self._addresses = Addresses(dsn)
        self._all = [self.dedicated() for _ in range(size)]
        self._idle = list(self._all)
        self._waiting: deque[Deferred[Connection]] = deque()
        self._closed = False

    @property
    def use(self) -> PoolUse:
        """The current use of the pool."""
        return PoolUse(self._size, self._size - len(self._idle), len(self._waiting))

    async def query(self, sql: str, params: Params = None) -> list[Row]:
        """Run one statement in a transaction of its own. Raises :class:`DatabaseAway` or psycopg2's error."""
        connection = await self._take()
        try:
            return await connection.query(sql, params)
        finally:
            self._give(connection)

    async def hot_query(self, name: str, sql: str, params: Mapping[str, Any]) -> list[Row]:
        """:meth:`query` with a statement that each connection prepares as *name* at its first use."""
        connection = await self._take()
        try:
            return await connection.hot_query(name, sql, params)
        finally:
            self._give(connection)

    async def transaction(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run *work* in one transaction, repeated on conflicts. Raises :class:`DatabaseAway` or psycopg2's error."""
        connection = await self._take()
        try:
            return await connection.transaction(work)
        finally:
            self._give(connection)

    def dedicated(self, settings: str = "") -> Connection:
        """A connection outside the pool to the same database. *settings* is SQL to run on each new connection."""
        return Connection(self.dsn, self.reactor, self.limits, settings, self._addresses)

    def close(self) -> None:
        """Close all connections, for good. Calls that wait, or come later, fail with :class:`DatabaseAway`."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft().errback(DatabaseAway("the node is stopping"))
        for connection in self._all:
            connection.close()

    async def _take(self) -> Connection:
        if self._closed:
            raise DatabaseAway("the node is stopping")
        if self._idle:
            return self._idle.pop()
        d: Deferred[Connection] = Deferred(self._waiting.remove)
        self._waiting.append(d)
        return await d

    def _give(self, connection: Connection) -> None:
        if self._waiting:
            self._waiting.popleft().callback(connection)
        else:
            self._idle.append(connection)
