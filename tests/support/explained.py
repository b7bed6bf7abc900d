"""How many rows statements read: a database that explains what it reads."""

from collections.abc import Iterator
from typing import Any

import psycopg2


class ExplainedDatabase:
    """In the place of a :class:`.Database`, and of its transactions: explains what it reads."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg2.connect(dsn)
        self.plans: list[dict[str, Any]] = []
        self.after_commit: list[Any] = []

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    async def transaction(self, work: Any) -> Any:
        """See :class:`.Database`."""
        return await work(self)

    async def query(self, statement: str, parameters: Any = None) -> list[Any]:
        """See :class:`.Database`."""
        with self._connection.cursor() as cursor:
            if not any(word in statement for word in ("set_config", "EXPLAIN", "INSERT")):
                cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}", parameters)
                [([plan],)] = cursor.fetchall()
                self.plans.append(plan["Plan"])
            cursor.execute(statement, parameters)
            return [] if cursor.description is None else cursor.fetchall()

    def rows_read(self) -> dict[str, int]:
        """The rows that scans of each table have read since the last call."""
        read: dict[str, int] = {}
        for node in self._nodes():
            if "Scan" in node["Node Type"] and "Relation Name" in node:
                removed = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
                rows = node["Actual Rows"] + sum(node.get(name, 0) for name in removed)
                table = node["Relation Name"]
                read[table] = read.get(table, 0) + round(rows * node["Actual Loops"])
        self.plans.clear()
        return read

    def _nodes(self) -> Iterator[dict[str, Any]]:
        below = list(self.plans)
        while below:
            node = below.pop()
            yield node
            below += node.get("Plans", ())
