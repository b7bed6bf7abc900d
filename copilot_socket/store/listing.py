"""Lists of rows in pages, bounded in bytes by the database.

Rows become JSON objects with the names of the columns; times are aware datetimes in UTC, jsonb stays JSON text. The
database bounds the result of each call, so that no more than that is ever transferred.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import attrs
import orjson
from twisted.internet.defer import DeferredSemaphore

from copilot_socket.core import cursor
from copilot_socket.store.connection import Row, Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.faults import DATA_ERRORS, DATABASE_ERRORS, timed_out
from copilot_socket.store.totals import Total, total

Record = dict[str, Any]
T = TypeVar("T")
LARGE_PAGE = 100
"""Rows up to which any number of pages is read concurrently."""
LARGE_READS = 2
"""Pages of more than ``LARGE_PAGE`` rows that are read concurrently: decoding each takes some milliseconds."""
PAGE_BYTES = 4 * 1024 * 1024
"""A page of a list ends with the row that reaches this size."""
VALUE_BYTES = 1024 * 1024
"""The largest jsonb value that is shown."""
PATIENCE = 2.0
"""Seconds for a list or count with a filter that has no index."""


@attrs.frozen
class Page:
    """A page of a list: up to ``limit`` rows behind the one with the key ``after``, or from the start.

    ``total``: whether to count all rows of the list, too.
    """

    limit: int = 100
    after: str | None = None
    total: bool = False


@attrs.frozen
class Listing:
    """A part of a list; ``next`` is the cursor of the part after it, None at the end."""

    rows: Sequence[Record]
    next: str | None
    total: Total | None = None


class TooSlow(Exception):
    """A list or count takes longer than :data:`PATIENCE`; *advice*: what makes it faster."""

    def __init__(self, advice: str) -> None:
        super().__init__(f"takes longer than {PATIENCE:g} s; {advice}")


class BadCursor(Exception):
    """The cursor is of another list, or of another order."""


_NO_FILTERS: Mapping[str, Any] = MappingProxyType({})
_JSONB = frozenset({"resume_state", "progress", "metadata", "context", "details"})

# The sizes of one row more than a page first; then only the rows that fit.
_LIST = """
WITH page AS (
  SELECT {names}, octet_length(row_to_json(r)::text) AS size
  FROM (SELECT {keys}, {raw} FROM {candidates} ORDER BY {order} LIMIT %(limit)s + 1) AS r
), fitting AS (
  SELECT {names}, sum(size) OVER (ORDER BY {order_of_names}) - size AS before, count(*) OVER () AS found FROM page
)
SELECT {columns}, fitting.found FROM {tables} JOIN fitting ON ({names}) = ({columns_of_key})
WHERE fitting.before < %(bytes)s ORDER BY {order} LIMIT %(limit)s
"""


class Lists:
    """Reads pages from *database*."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._large_reads = DeferredSemaphore(LARGE_READS)

    async def read(
        self,
        tables: str,
        columns: Mapping[str, str],
        page: Page,
        *,
        key: Sequence[str],
        conditions: Sequence[str] = (),
        filters: Mapping[str, Any] = _NO_FILTERS,
        descending: bool = False,
        branches: Mapping[str, Sequence[str]] = _NO_FILTERS,
        faster: Collection[str] = (),
        whole: bool = False,
    ) -> Listing:
        """The *columns* (shown name → SQL) of the rows of *tables* that meet the *conditions*, in the order of *key*.

        *filters*: the parameters of the conditions. *branches*: of a single table, columns and the values that they
        may have; the first rows are read of each combination, and merged. *whole*: a total is never estimated.
        *faster*: the filters that have an index, of a table that may be too large to be read without one.

        Raises :class:`TooSlow`, if *faster* are given, and :class:`BadCursor`.
        """
        rows_of = f"SELECT NULL::text FROM {candidates(tables, conditions, (), '', '')}"
        after = {} if page.after is None else _parts(page.after, len(key))
        if after:
            marks = ", ".join(f"%({name})s" for name in after)
            conditions = [*conditions, f"({', '.join(key)}) {'<' if descending else '>'} ({marks})"]
        names = [f"page_key_{number}" for number in range(len(key))]
        direction = " DESC" if descending else ""
        order = ", ".join(given + direction for given in key)
        large = [name for name in columns if name in _JSONB]
        statement = _LIST.format(
            columns_of_key=", ".join(each.partition(" ")[0] for each in key),
            keys=", ".join(f"{given} AS {name}" for given, name in zip(key, names, strict=True)),
            names=", ".join(names),
            order=order,
            order_of_names=", ".join(name + direction for name in names),
            raw=", ".join(f'{given} AS "{name}"' for name, given in columns.items()),
            columns=bounded(columns) if large else ", ".join(columns.values()),
            tables=tables,
            candidates=candidates(tables, conditions, list(branches), order, "%(limit)s + 1"),
        )
        parameters = {**filters, **after, **branch_values(branches), "limit": page.limit, "bytes": PAGE_BYTES}
        if page.limit > LARGE_PAGE:
            await self._large_reads.acquire()
        try:
            rows = await self._rows(statement, parameters, faster)
        except DATA_ERRORS:
            if page.after is None:
                raise
            raise BadCursor from None
        finally:
            if page.limit > LARGE_PAGE:
                self._large_reads.release()
        shown = [*columns, "truncated"] if large else list(columns)
        records = [record(shown, row[:-1]) for row in rows]
        more = bool(rows) and rows[0][-1] > len(rows)
        last = [records[-1][_name(given)] or "" for given in key] if more else None
        after_it = None if last is None else cursor.encode(orjson.dumps(last).decode())
        if not page.total:
            return Listing(records, after_it)
        return Listing(records, after_it, await self._total(rows_of, filters, faster, whole))

    async def _rows(self, statement: str, parameters: Mapping[str, Any], faster: Collection[str]) -> list[Row]:
        if not faster:
            return await self._database.query(statement, parameters)
        return await in_time(self._database, lambda tx: tx.query(statement, parameters), add_one_of(faster))

    async def _total(self, rows: str, filters: Mapping[str, Any], faster: Collection[str], whole: bool) -> Total:
        advice = add_one_of(faster) if faster else "there are too many"
        return await in_time(self._database, lambda tx: total(tx, rows, filters, whole=whole), advice)


def add_one_of(filters: Collection[str]) -> str:
    """Advice for :class:`TooSlow`: *filters* that have an index."""
    return f"add one of {', '.join(filters)} that few rows meet"


def containing(text: str) -> str:
    """The pattern for ILIKE of all that contains *text*."""
    return "%" + "".join(f"\\{each}" if each in "\\%_" else each for each in text) + "%"


async def in_time(database: Database, work: Callable[[Transaction], Awaitable[T]], advice: str) -> T:
    """Run *work*, which reads, in a transaction whose statements PostgreSQL ends after :data:`PATIENCE`.

    Raises :class:`TooSlow` with *advice*.
    """

    async def limited(tx: Transaction) -> T:
        await tx.query(
            "SELECT set_config('statement_timeout', %(limit)s, true)", {"limit": str(int(PATIENCE * 1000))}
        )
        return await work(tx)

    try:
        return await database.transaction(limited)
    except DATABASE_ERRORS as error:
        if timed_out(error):
            raise TooSlow(advice) from None
        raise


def branch_values(branches: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The parameters of :func:`candidates` with *branches*: column → values."""
    return {f"branch_{number}": list(values) for number, values in enumerate(branches.values())}


def candidates(table: str, conditions: Sequence[str], branches: Sequence[str], order: str, limit: str) -> str:
    """A FROM clause: the rows of *table* that meet the *conditions*.

    With *branches*, columns, the first *limit* rows by *order* of each combination of their values.
    """
    if not branches:
        return f"{table} WHERE {' AND '.join(conditions)}" if conditions else table
    values = " CROSS JOIN ".join(
        f"unnest(%(branch_{number})s::text[]) AS branch_{number} (value)" for number in range(len(branches))
    )
    # BETWEEN and the order by the same columns, in the place of equality: so that nothing but their index will do.
    values_of = [(f"{table}.{column}", f"branch_{number}.value") for number, column in enumerate(branches)]
    equal = [f"{column} BETWEEN {value} AND {value}" for column, value in values_of]
    direction = " DESC" if order.endswith(" DESC") else ""
    order = ", ".join([*(f"{column}{direction}" for column, _ in values_of), order])
    return (
        f"{values} CROSS JOIN LATERAL (SELECT * FROM {table} WHERE {' AND '.join([*equal, *conditions])}"
        f" ORDER BY {order} LIMIT {limit}) AS {table}"
    )


def _name(column: str) -> str:
    """The name of a column without table and collation."""
    return column.partition(" ")[0].rpartition(".")[2]


def _parts(after: str, count: int) -> dict[str, str]:
    """The parts of a key as parameters: *count* of them, also for the key of another list."""
    try:
        found = [str(part) for part in orjson.loads(after)]
    except (ValueError, TypeError):
        found = [after]
    if any("\0" in part for part in found):  # which PostgreSQL does not take
        raise BadCursor
    return {f"after_{number}": part for number, part in enumerate((found + [""] * count)[:count])}


def bounded(columns: Mapping[str, str]) -> str:
    """A select list: *columns*, jsonb as text or null where it is too large, and an array of the names of these."""
    large = [name for name in columns if name in _JSONB]
    shown = [
        f"CASE WHEN octet_length({given}::text) <= {VALUE_BYTES} THEN {given}::text END" if name in large else given
        for name, given in columns.items()
    ]
    truncated = [f"CASE WHEN octet_length({columns[name]}::text) > {VALUE_BYTES} THEN '{name}' END" for name in large]
    return ", ".join([*shown, f"array_remove(ARRAY[{', '.join(truncated)}], NULL)"])


def record(names: Sequence[str], row: Sequence[Any]) -> Record:
    """*row* as it is shown, under *names*."""
    return {
        name: orjson.Fragment(value) if name in _JSONB and value is not None else value
        for name, value in zip(names, row, strict=True)
    }
