"""A connection to PostgreSQL that is made when needed and reconnects when it is lost."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import attrs
from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from copilot_socket.store.addresses import Address, Addresses
from copilot_socket.store.driver import DriverConnection
from copilot_socket.store.faults import DATABASE_ERRORS, DatabaseAway, Remedy, remedy, sqlstate

T = TypeVar("T")
Row = tuple[Any, ...]
Params = Mapping[str, Any] | Sequence[Any] | None

APPLICATION_NAME = "copilot-study"
CONNECT_TIMEOUT = 10.0
"""Seconds in which a connection must be made, all addresses included."""
ADDRESS_TIMEOUT = 4.0
"""Seconds for each of several addresses."""
MARGIN = 1.0
"""Seconds added to a time-out: PostgreSQL enforces it first, and only then is the connection closed."""
CONFLICT_TRIES = 10
"""How often a transaction is run that conflicts with others."""


@attrs.frozen
class Limits:
    """Time-outs of statements and of transactions, in seconds."""

    query: float = 30.0
    transaction: float = 60.0


HOT = (
    "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off; "
    "SET enable_hashjoin = off; SET enable_mergejoin = off; "
    "SET plan_cache_mode = force_generic_plan;"
)
"""For connections whose statements touch few rows by key: plans made on near-empty tables are slow on full ones."""

_SESSION = (
    "SET jit = off; SET timezone = 'UTC'; SET array_nulls = on; SET lock_timeout = 0; SET idle_session_timeout = 0; "
    "SET default_transaction_isolation = 'read committed'; SET extra_float_digits = 1;"
)
"""Settings that the statements rely on, and a role or a database may have changed."""

_CONNECTING_FAILED: tuple[type[Exception], ...] = (*DATABASE_ERRORS, ConnectionDone, OSError)
_PARAMETER = re.compile(r"%\((\w+)\)s(::\w+(?:\[\])?)?")
_STALE_PLAN = "0A000"
"""SQLSTATE of a prepared statement whose tables have changed (by a migration): it is prepared on a new connection."""
_NOT_PREPARED = frozenset({"26000", "42P05"})
"""SQLSTATEs behind a transaction pooler, where the next transaction may run on another server connection: the
statement is not prepared there, or already is."""


class Transaction:
    """A transaction in progress; :meth:`Connection.transaction` commits it."""

    def __init__(self, cursor: Any, prepared: "Prepared") -> None:
        self._cursor = cursor
        self._prepared = prepared
        self.after_commit: list[Callable[[], None]] = []
        """Called in order once the transaction is known to be committed; they must not raise."""

    async def query(self, sql: str, params: Params = None) -> list[Row]:
        """Run one statement; return its rows, an empty list where it returns none."""
        await self._cursor.execute(sql, params)
        return _rows(self._cursor)

    async def hot_query(
        self, name: str, sql: str, params: Mapping[str, Any], before: tuple[str, str] | None = None
    ) -> list[Row]:
        """As :meth:`Connection.hot_query`."""
        await self._prepared.execute(self._cursor, name, sql, params, before)
        return _rows(self._cursor)


class Prepared:
    """The statements that are prepared on a connection."""

    def __init__(self) -> None:
        self._executing: dict[str, str] = {}
        """Name of a prepared statement → its EXECUTE."""
        self._allowed = True

    def forget(self) -> None:
        """Forget all statements: the connection is a new one."""
        self._executing.clear()

    def disallow(self, error: Exception) -> bool:
        """Stop preparing, and return True, if *error* is due to a transaction pooler."""
        if sqlstate(error) not in _NOT_PREPARED:
            return False
        self._allowed = False
        return True

    async def execute(
        self, cursor: Any, name: str, sql: str, params: Mapping[str, Any], before: tuple[str, str] | None = None
    ) -> None:
        """Run *sql* with *params*, prepared as *name* unless preparing is disallowed; see :meth:`.hot_query`."""
        statements = [*([before] if before else ()), (name, sql)]
        if not self._allowed:
            await cursor.execute("; ".join(text for _, text in statements), params)
            return
        for each, text in statements:
            if each not in self._executing:
                preparing, executing = prepared_form(each, text)
                await cursor.execute(preparing)
                self._executing[each] = executing
        await cursor.execute("; ".join(self._executing[each] for each, _ in statements), params)


class Connection:
    """A connection that is made when needed, and again when it was lost. One user at a time; others wait in order.

    *settings* is SQL that is run on each new connection.
    """

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
        """Why this node has closed the connection during a statement."""
        self._settings = settings
        self._prepared = Prepared()
        self.on_lost: Callable[[], None] = lambda: None
        self.on_notify: Callable[[str, str], None] | None = None
        """Called with the channel and payload of each notification."""

    @property
    def connected(self) -> bool:
        """Whether the connection is made and not known to be lost."""
        return self._live is not None

    async def query(self, sql: str, params: Params = None) -> list[Row]:
        """Run one statement in a transaction of its own.

        Raises :class:`DatabaseAway` when the connection is lost, else psycopg2's error.
        """

        async def run(cursor: Any) -> list[Row]:
            await cursor.execute(sql, params)
            return _rows(cursor)

        return await self._exclusively(run, self._limits.query)

    async def hot_query(
        self, name: str, sql: str, params: Mapping[str, Any], before: tuple[str, str] | None = None
    ) -> list[Row]:
        """:meth:`query`, planned once a connection: a server-side prepared statement called *name*.

        *before*, name and SQL of another one with the same parameters, is run first, in the same transaction and
        round trip; its rows are dropped.
        """

        async def run(cursor: Any) -> list[Row]:
            await self._prepared.execute(cursor, name, sql, params, before)
            return _rows(cursor)

        try:
            return await self._exclusively(run, self._limits.query)
        except DATABASE_ERRORS as error:
            if not self._prepared.disallow(error):
                raise
        return await self.query(f"{before[1]}; {sql}" if before else sql, params)

    async def transaction(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run *work* between BEGIN and COMMIT; repeat both on serialisation failures and deadlocks.

        Raises :class:`DatabaseAway` when the connection is lost; the outcome of a COMMIT is unknown then.
        """

        async def run(cursor: Any) -> T:
            await cursor.execute("BEGIN")
            try:
                transaction = Transaction(cursor, self._prepared)
                result = await work(transaction)
                await cursor.execute("COMMIT")
            except Exception:
                if self._live is not None and not self._live.closed:
                    await cursor.execute("ROLLBACK")
                raise
            for call in transaction.after_commit:
                call()
            return result

        for _ in range(CONFLICT_TRIES - 1):
            try:
                return await self._exclusively(run, self._limits.transaction)
            except DATABASE_ERRORS as error:
                if remedy(error) is not Remedy.REPEAT and not self._prepared.disallow(error):
                    raise
        return await self._exclusively(run, self._limits.transaction)

    async def connect(self) -> None:
        """Make the connection now rather than at the first statement. Raises :class:`DatabaseAway`."""
        await self._exclusively(_nothing, self._limits.query)

    def close(self) -> None:
        """Close the connection, also one that is being made; the next use makes a new one."""
        both, self._live, self._making = (self._live, self._making), None, None
        for live in both:
            if live is not None:
                live.close()

    async def _exclusively(self, run: Callable[[Any], Awaitable[T]], limit: float) -> T:
        """Call *run* with a cursor, within *limit* seconds.

        PostgreSQL ends a slow statement itself. Where no answer arrives even so (the server hangs, or packets are
        lost), the connection is closed: the outcome is unknown, and libpq's call to cancel a statement blocks.
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
                if live.usable and sqlstate(error) != _STALE_PLAN:
                    raise  # an error of the statement or of *run*; the connection is usable
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
        """Connect to the first address that accepts the connection. Raises :class:`DatabaseAway`."""
        deadline = self._reactor.seconds() + CONNECT_TIMEOUT
        problem: Exception | None = None
        try:
            addresses = await Deferred.fromCoroutine(self._addresses.find()).addTimeout(
                CONNECT_TIMEOUT, self._reactor
            )
        except defer.TimeoutError:
            raise DatabaseAway(f"the host name was not resolved within {CONNECT_TIMEOUT:g} s") from None
        except OSError as error:
            raise DatabaseAway(str(error)) from error
        for address in addresses:
            left = deadline - self._reactor.seconds()
            limit = left if len(addresses) == 1 else min(left, ADDRESS_TIMEOUT)
            try:
                return await self._connect_to(address, max(limit, 0.0))
            except defer.TimeoutError:
                problem = TimeoutError(f"no connection within {limit:g} s")
            except _CONNECTING_FAILED as error:
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
    """``PREPARE`` and ``EXECUTE`` statements for *sql*, whose parameters are psycopg2's named ones."""
    casts: dict[str, str] = {}
    for parameter, cast in _PARAMETER.findall(sql):
        casts[parameter] = casts.get(parameter) or cast
    names = list(casts)
    body = _PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}{match[2] or ''}", sql)
    # The casts are repeated: psycopg2 writes a list of strings as text[], which EXECUTE does not convert implicitly.
    given = ", ".join(f"%({each})s{cast}" for each, cast in casts.items())
    return f"PREPARE {name} AS {body}", f"EXECUTE {name} ({given})" if given else f"EXECUTE {name}"


def _rows(cursor: Any) -> list[Row]:
    return list(cursor.fetchall()) if cursor.description is not None else []


def _one_line(error: BaseException | None) -> str:
    """The message of *error* in one line; libpq writes several."""
    return " ".join(str(error or "").split())
