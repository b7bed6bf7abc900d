"""Lists of rows in pages, bounded in bytes by the database.

Rows become JSON objects with the names of the columns; times are aware datetimes in UTC, jsonb stays JSON text. The
database bounds the result of each call, so that no more than that is ever transferred.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs
import orjson
from twisted.internet.defer import DeferredSemaphore

from copilot_socket.core import cursor
from copilot_socket.store.database import Database

Record = dict[str, Any]
LARGE_PAGE = 100
"""Rows up to which any number of pages is read concurrently."""
LARGE_READS = 2
"""Pages of more than ``LARGE_PAGE`` rows that are read concurrently: decoding each takes some milliseconds."""
PAGE_BYTES = 4 * 1024 * 1024
"""A page of a list ends with the row that reaches this size."""
VALUE_BYTES = 1024 * 1024
"""The largest jsonb value that is shown."""


@attrs.frozen
class Page:
    """A page of a list: up to ``limit`` rows behind the one with the key ``after``, or from the start."""

    limit: int = 100
    after: str | None = None


@attrs.frozen
class Listing:
    """A part of a list; ``next`` is the cursor of the part after it, None at the end."""

    rows: Sequence[Record]
    next: str | None


_NO_FILTERS: Mapping[str, Any] = MappingProxyType({})
_JSONB = frozenset({"resume_state", "progress", "metadata", "context", "details"})

# The sizes of one row more than a page first; then only the rows that fit.
_LIST = """
WITH page AS (
  SELECT {names}, octet_length(row_to_json(r)::text) AS size
  FROM (SELECT {keys}, {raw} FROM {tables} {where} ORDER BY {order} LIMIT %(limit)s + 1) AS r
), fitting AS (
  SELECT {names}, sum(size) OVER (ORDER BY {order_of_names}) - size AS before, count(*) OVER () AS found FROM page
)
SELECT {columns}, fitting.found FROM {tables} JOIN fitting ON ({names}) = ({key})
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
    ) -> Listing:
        """The *columns* (shown name → SQL) of the rows of *tables* that meet the *conditions*, in the order of *key*.

        *filters*: the parameters of the conditions.
        """
        after = {} if page.after is None else _parts(page.after, len(key))
        if after:
            marks = ", ".join(f"%({name})s" for name in after)
            conditions = [*conditions, f"({', '.join(key)}) {'<' if descending else '>'} ({marks})"]
        where = " AND ".join(conditions)
        names = [f"page_key_{number}" for number in range(len(key))]
        direction = " DESC" if descending else ""
        large = [name for name in columns if name in _JSONB]
        statement = _LIST.format(
            key=", ".join(key),
            keys=", ".join(f"{given} AS {name}" for given, name in zip(key, names, strict=True)),
            names=", ".join(names),
            order=", ".join(given + direction for given in key),
            order_of_names=", ".join(name + direction for name in names),
            raw=", ".join(f'{given} AS "{name}"' for name, given in columns.items()),
            columns=bounded(columns) if large else ", ".join(columns.values()),
            tables=tables,
            where=f"WHERE {where}" if where else "",
        )
        parameters = {**filters, **after, "limit": page.limit, "bytes": PAGE_BYTES}
        if page.limit > LARGE_PAGE:
            await self._large_reads.acquire()
        try:
            rows = await self._database.query(statement, parameters)
        finally:
            if page.limit > LARGE_PAGE:
                self._large_reads.release()
        shown = [*columns, "truncated"] if large else list(columns)
        records = [record(shown, row[:-1]) for row in rows]
        more = bool(rows) and rows[0][-1] > len(rows)
        last = [records[-1][given.rpartition(".")[2]] or "" for given in key] if more else None
        return Listing(records, None if last is None else cursor.encode(orjson.dumps(last).decode()))


def _parts(after: str, count: int) -> dict[str, str]:
    """The parts of a key as parameters: *count* of them, also for the key of another list."""
    try:
        found = [str(part) for part in orjson.loads(after)]
    except (ValueError, TypeError):
        found = [after]
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
