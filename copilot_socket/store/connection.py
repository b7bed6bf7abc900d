"""One connection to PostgreSQL that comes back by itself."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import attrs
import psycopg2
from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from copilot_socket.store.addresses import Address, Addresses
from copilot_socket.store.driver import DriverConnection
from copilot_socket.store.faults import DatabaseAway, Remedy, remedy

T = TypeVar("T")
Row = tuple[Any, ...]
Params = Mapping[str, Any] | Sequence[Any] | None

APPLICATION_NAME = "copilot-study"
CONNECT_TIMEOUT = 10.0
"""Seconds for all of connecting."""
ADDRESS_TIMEOUT = 4.0
"""Seconds for one of several addresses."""
MARGIN = 1.0
"""Seconds that PostgreSQL has to end a statement by its own time-out before its connection is given up."""
CONFLICT_TRIES = 10


@attrs.frozen
class Limits:
    """How long the database may take, in seconds."""

    query: float = 30.0
    transaction: float = 60.0


HOT = (
    "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; "
    "SET plan_cache_mode = force_generic_plan;"
)
"""For connections that touch a few rows by their keys: plans that fit near-empty tables do not fit full ones."""

_SESSION = (
    "SET jit = off; SET timezone = 'UTC'; SET array_nulls = on; SET lock_timeout = 0; SET idle_session_timeout = 0; "
    "SET default_transaction_isolation = 'read committed'; SET extra_float_digits = 1;"
)
"""What a role or a database may have set otherwise, and the statements rely on."""

_PARAMETER = re.compile(r"%\((\w+)\)s(::\w+(?:\[\])?)?")
_STALE_PLAN = "0A000"
"""SQLSTATE of a prepared statement whose tables have changed (a migration): a new connection prepares it anew."""
_NOT_PREPARED = frozenset({"26000", "42P05"})
"""SQLSTATEs of a pooler that gives the next transaction another server: what was prepared is not there, or is."""


class Transaction:
    """A transaction under way; whoever made it commits it."""

    def __init__(self, cursor: Any, prepared: "Prepared") -> None:
        self._cursor = cursor
        self._prepared = prepared

    async def query(self, sql: str, params: Params = None) -> list[Row]:
        """Run one statement; its rows, or an empty list where it returns none."""
        await self._cursor.execute(sql, params)
        return _rows(self._cursor)

    async def hot_query(self, name: str, sql: str, params: Mapping[str, Any]) -> list[Row]:
        """:meth:`query`, planned once a connection: a server-side prepared statement called *name*."""
        await self._prepared.execute(self._cursor, name, sql, params)
        return _rows(self._cursor)


class Prepared:
    """The statements that are prepared on a connection, as long as it lasts."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._allowed = True

    def forget(self) -> None:
        """The connection is a new one."""
        self._known.clear()

    def disallow(self, error: psycopg2.Error) -> bool:
        """Whether *error* tells of a pooler that gives every transaction another server; then no more is prepared."""
        if error.pgcode not in _NOT_PREPARED:
            return False
        self._allowed = False
        return True

    async def execute(self, cursor: Any, name: str, sql: str, params: Mapping[str, Any]) -> None:
        """Run *sql*, under *name*, with *params*."""
        if not self._allowed:
            await cursor.execute(sql, params)
            return
        if name not in self._known:
            preparing, executing = prepared_form(name, sql)
            await cursor.execute(preparing)
            self._known[name] = executing
        await cursor.execute(self._known[name], params)


class Connection:
    """A connection that is made when needed and made anew when it was lost. One user at a time; others queue."""

    log = Logger()

    def __init__(
        self,
        dsn: str,
        reactor: IReactorTime,
        limits: Limits,
        settings: str = "",
        addresses: Addresses | None = None,
    ) -> None:
        self._dsn = dsn
        self._addresses = addresses or Addresses(dsn)
        self._reactor = reactor
        self._limits = limits
        self._lock = DeferredLock()
        self._live: DriverConnection | None = None
        self._making: DriverConnection | None = None
        self._gave_up: str | None = None
        """Why the connection was closed from here while it was in use."""
        self._settings = settings
        self._prepared = Prepared()
        self.on_lost: Callable[[], None] = lambda: None
        self.on_notify: Callable[[str, str], None] | None = None
        """Called with the channel and payload of each notification."""

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._live is not None

    @property
    def busy(self) -> bool:
        """Whether somebody uses it at the moment."""
        return bool(self._lock.locked)

    async def query(self, sql: str, params: Params = None) -> list[Row]:
        """Run one statement in a transaction of its own.

        Raises :class:`DatabaseAway` when the connection is lost, else the psycopg2 error.
        """

        async def run(cursor: Any) -> list[Row]:
            await cursor.execute(sql, params)
            return _rows(cursor)

        return await self._exclusively(run, self._limits.query)

    async def hot_query(self, name: str, sql: str, params: Mapping[str, Any]) -> list[Row]:
        """:meth:`query`, planned once a connection: a server-side prepared statement called *name*."""

        async def run(cursor: Any) -> list[Row]:
            await self._prepared.execute(cursor, name, sql, params)
            return _rows(cursor)

        try:
            return await self._exclusively(run, self._limits.query)
        except psycopg2.Error as error:
            if not self._prepared.disallow(error):
                raise
        return await self.query(sql, params)

    async def transaction(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run *work* between BEGIN and COMMIT; again from the start on serialisation failures and deadlocks.

        Raises :class:`DatabaseAway` when the connection is lost, and then the outcome of COMMIT is unknown.
        """

        async def run(cursor: Any) -> T:
            await cursor.execute("BEGIN")
            try:
                result = await work(Transaction(cursor, self._prepared))
                await cursor.execute("COMMIT")
            except Exception:
                if self._live is not None and not self._live.closed:
                    await cursor.execute("ROLLBACK")
                raise
            return result

        for _ in range(CONFLICT_TRIES - 1):
            try:
                return await self._exclusively(run, self._limits.transaction)
            except psycopg2.Error as error:
                if remedy(error) is not Remedy.REPEAT and not self._prepared.disallow(error):
                    raise
        return await self._exclusively(run, self._limits.transaction)

    async def connect(self) -> None:
        """Make the connection now rather than at the first statement. Raises :class:`DatabaseAway`."""
        await self._exclusively(_nothing, self._limits.query)

    def close(self) -> None:
        """Drop the connection, also one that is being made; the next use makes a new one."""
        both, self._live, self._making = (self._live, self._making), None, None
        for live in both:
            if live is not None:
                live.close()

    async def _exclusively(self, run: Callable[[Any], Awaitable[T]], limit: float) -> T:
        """Run *run* with a cursor, within *limit* seconds.

        PostgreSQL ends a slow statement by itself. One that outlives that (the server stands still, or packets get
        lost) costs its connection: nothing is known of what becomes of it, and libpq's way to cancel it blocks.
        """
        await self._lock.acquire()
        try:
            live = await self._ensure()
            timer = self._reactor.callLater(limit + MARGIN, self._give_up, live, f"no answer within {limit:g} s")
            try:
                return await run(live.cursor())
            except CancelledError:
                self._drop()
                raise
            except Exception as error:
                if live.usable and getattr(error, "pgcode", None) != _STALE_PLAN:
                    raise  # an error of the statement or of *run*, with the connection as it was before
                why, self._gave_up = self._gave_up or _one_line(error) or "the connection was closed", None
                self._drop()
                raise DatabaseAway(why) from error
            finally:
                if timer.active():
                    timer.cancel()
        finally:
            self._lock.release()

    def _give_up(self, live: DriverConnection, why: str) -> None:
        self._gave_up = why
        live.close()

    async def _ensure(self) -> DriverConnection:
        if self._live is not None and not self._live.closed:
            return self._live
        self._drop()
        self._prepared.forget()
        self._gave_up = None
        try:
            self._live = await self._connect()
        finally:
            if self._live is None:
                self.close()
        return self._live

    async def _connect(self) -> DriverConnection:
        """A connection to the first address that gives one. Raises :class:`DatabaseAway`."""
        deadline = self._reactor.seconds() + CONNECT_TIMEOUT
        problem: Exception | None = None
        try:
            addresses = await Deferred.fromCoroutine(self._addresses.find()).addTimeout(
                CONNECT_TIMEOUT, self._reactor
            )
        except defer.TimeoutError:
            raise DatabaseAway(f"its name was not looked up within {CONNECT_TIMEOUT:g} s") from None
        except OSError as error:
            raise DatabaseAway(str(error)) from error
        for address in addresses:
            left = deadline - self._reactor.seconds()
            limit = left if len(addresses) == 1 else min(left, ADDRESS_TIMEOUT)
            try:
                return await self._connect_to(address, max(limit, 0.0))
            except defer.TimeoutError:
                problem = TimeoutError(f"no connection within {limit:g} s")
            except (psycopg2.Error, ConnectionDone, OSError) as error:
                problem = error
        raise DatabaseAway(_one_line(problem)) from problem

    async def _connect_to(self, address: Address, limit: float) -> DriverConnection:
        self.close()
        self._making = live = DriverConnection(self._reactor, self._drop, self.on_notify)
        named = {"application_name": APPLICATION_NAME, "client_encoding": "UTF8", **address}
        await live.connect(self._dsn, **named).addTimeout(limit, self._reactor)
        setting = (
            f"SET statement_timeout = {int(self._limits.query * 1000)};"
            f"SET idle_in_transaction_session_timeout = {int(self._limits.transaction * 1000)};"
            f"{_SESSION}{self._settings}"
        )
        await live.cursor().execute(setting).addTimeout(limit, self._reactor)
        self._making = None
        return live

    def _drop(self) -> None:
        was_live = self._live is not None
        self.close()
        if was_live:
            self.on_lost()


async def _nothing(_cursor: Any) -> None:
    return None


def prepared_form(name: str, sql: str) -> tuple[str, str]:
    """``PREPARE`` and ``EXECUTE`` for *sql*, whose parameters are psycopg2's named ones."""
    casts: dict[str, str] = {}
    for parameter, cast in _PARAMETER.findall(sql):
        casts[parameter] = casts.get(parameter) or cast
    names = list(casts)
    body = _PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}{match[2] or ''}", sql)
    # The casts again, since psycopg2 writes a list of texts as text[], which EXECUTE makes nothing else of by itself.
    given = ", ".join(f"%({each})s{cast}" for each, cast in casts.items())
    return f"PREPARE {name} AS {body}", f"EXECUTE {name} ({given})"


def _rows(cursor: Any) -> list[Row]:
    return list(cursor.fetchall()) if cursor.description is not None else []


def _one_line(error: BaseException | None) -> str:
    """The text of *error*, of which libpq makes several lines."""
    return " ".join(str(error or "").split())
