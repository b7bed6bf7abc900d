"""The table ``crawler_ends``: how attempts of crawlers ended of late."""

from collections.abc import Mapping, Sequence
from typing import Any

from copilot_socket.core.crawler_ends import Ends, Key, summed_up
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.sql import sql


async def store_ends(tx: Transaction, node: str, ends: Mapping[Key, Ends]) -> None:
    """Store in *tx* what *node* has counted so far."""
    if ends:
        await tx.query(
            sql("store_crawler_ends"),
            {
                "node": node,
                "crawler": [key.crawler for key in ends],
                "at": [key.at for key in ends],
                "cause": [str(key.cause) for key in ends],
                "attempts": [each.attempts for each in ends.values()],
                "ran": [each.ran for each in ends.values()],
                "seconds": [each.seconds for each in ends.values()],
            },
        )


async def recent_ends(database: Database, crawlers: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Of each of these crawlers (keys), how its attempts of the last hour ended."""
    found: dict[str, list[tuple[str, int, int, float]]] = {key: [] for key in crawlers}
    for key, cause, attempts, ran, seconds in await database.query(sql("crawler_ends"), {"key": list(crawlers)}):
        found[key].append((cause, attempts, ran, seconds))
    return {key: summed_up(ends) for key, ends in found.items()}
