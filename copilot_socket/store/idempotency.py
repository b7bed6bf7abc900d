"""The table ``idempotency_keys``: keys that requests have taken, and the answers to these requests.

A key is taken in the transaction of the change (:func:`.record`), its answer is stored there or behind that: see
docs/adr/0023-keys-and-preconditions.md.
"""

from collections.abc import Mapping

import attrs
import orjson

from copilot_socket.core.acts import Key
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.sql import sql

MAX_ANSWER = 4 * 1024 * 1024
"""Bytes of an answer that is kept. A CHECK of the table has the same bound."""


class KeyTaken(Exception):
    """Another request has taken the key; nothing was changed."""


@attrs.frozen
class KeyAnswer:
    """The answer to a request: its status, its body, None if that is not kept, and its own headers."""

    status: int
    body: str | None
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Taken:
    """A key that a request has taken. ``request`` and ``fingerprint`` are that one's, as in :class:`.Key`.

    ``answer`` None: not answered, as far as is known. ``age``: seconds since it was taken.
    """

    request: str
    fingerprint: str
    answer: KeyAnswer | None
    age: float


async def take(tx: Transaction, key: Key) -> None:
    """Take *key* in *tx*, repeatedly for several changes of one request. Raises :class:`KeyTaken`."""
    if not await tx.query(sql("take_key"), _columns(key)):
        raise KeyTaken


async def answer(store: Transaction | Database, key: Key, given: KeyAnswer) -> None:
    """Store the answer to *key*'s request, which takes *key* unless it has. Raises :class:`KeyTaken`."""
    headers = orjson.dumps(dict(given.headers)).decode()
    params = {**_columns(key), "status": given.status, "answer": given.body, "headers": headers}
    if not await store.query(sql("answer_key"), params):
        raise KeyTaken


async def find(database: Database, key: Key, former: str, line: str) -> Taken | None:
    """Who has *key*; None: nobody. *former*, *line*: see ``find_key``."""
    rows = await database.query(sql("find_key"), {"key": key.name, "former": former, "line": line})
    for request, fingerprint, age, status, body, headers in rows:
        return Taken(request, fingerprint, None if status is None else KeyAnswer(status, body, headers), age)
    return None


def _columns(key: Key) -> dict[str, str]:
    return {"key": key.name, "fingerprint": key.fingerprint, "request": key.request}
