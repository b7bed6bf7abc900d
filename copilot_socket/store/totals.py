"""How many rows there are: counted up to a bound, so that it takes little time, and estimated beyond it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from copilot_socket.store.connection import Transaction

COUNTED = 10_000
"""Up to this number, totals are exact."""
_NOTHING: Mapping[str, int] = MappingProxyType({})


@attrs.frozen
class Total:
    """How many rows there are; not ``exact``: about so many, by the statistics of the database."""

    count: int
    exact: bool
    states: Mapping[str, int] = _NOTHING
    """Of exact totals, how many rows there are with each value of the column that was selected."""


async def total(tx: Transaction, rows: str, parameters: Mapping[str, Any], *, whole: bool = False) -> Total:
    """The number of *rows*, a SELECT of one column: exact up to :data:`COUNTED`, or, if *whole*, always."""
    limit = "" if whole else f" LIMIT {COUNTED + 1}"
    counting = f"SELECT value, count(*) FROM ({rows}{limit}) AS counted (value) GROUP BY value ORDER BY value"
    states: dict[str, int] = dict(await tx.query(counting, parameters))
    counted = sum(states.values())
    if whole or counted <= COUNTED:
        return Total(counted, True, states)
    [([plan],)] = await tx.query(f"EXPLAIN (FORMAT JSON) {rows}", parameters)
    return Total(max(counted, round(plan["Plan"]["Plan Rows"])), False)
