"""Encryption of stored secrets: of plain ones, or of all of them with a newer key. Everything here blocks."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import attrs
import psycopg2

from copilot_socket.core.acts import Act
from copilot_socket.core.acts import columns as columns_of
from copilot_socket.core.vault import (
    BOUND,
    Place,
    Vault,
    VaultError,
    access_token,
    client_secret,
    refresh_token,
    webhook_secret,
)
from copilot_socket.store.migrate import APPLICATION_NAME
from copilot_socket.store.sql import sql

BATCH = 500
"""Rows of one transaction."""
_Stored: TypeAlias = tuple[str, Place]
"""A secret as it is stored, and where."""


@attrs.frozen
class _Table:
    """A table with secrets: its key, the column with the URL that they are for, their columns and their places."""

    name: str
    key: str
    url: str
    columns: Sequence[str]
    places: Callable[[str, str], Sequence[Place]]

    def rows(self, connection: Any, wanted: str, lock: str) -> Iterator[tuple[Any, str, Sequence[_Stored]]]:
        """The *wanted* rows, in transactions of ``BATCH``: a cursor, the key, and the secrets that are not NULL."""
        select = (
            f"SELECT {self.key}, {self.url}, {', '.join(self.columns)} FROM {self.name}"
            f" WHERE {self.key} > %s AND ({wanted}) ORDER BY {self.key} LIMIT {BATCH} {lock}"
        )
        after = ""
        while True:
            with connection, connection.cursor() as cursor:
                cursor.execute(select, (after,))
                found = cursor.fetchall()
                for key, url, *stored in found:
                    secrets = zip(stored, self.places(key, url), strict=True)
                    yield cursor, key, [(text, place) for text, place in secrets if text is not None]
            if not found:
                return
            after = found[-1][0]


_TABLES = (
    _Table(
        "accounts",
        "id",
        "gitlab_url",
        ("access_token", "refresh_token"),
        lambda account, url: (access_token(account, url), refresh_token(account, url)),
    ),
    _Table("oauth_clients", "origin", "origin", ("client_secret",), lambda origin, _: (client_secret(origin),)),
    _Table(
        "webhooks",
        "id",
        "url",
        ("secret", "former_secret"),
        lambda webhook, _: (webhook_secret(webhook, "secret"), webhook_secret(webhook, "former_secret")),
    ),
)

_NODES = """
SELECT host, pid, lease_expires_at > now(), coalesce(key_fingerprints[1] = %(newest)s, false) FROM nodes
ORDER BY host, pid
"""


@attrs.frozen
class Sealed:
    """The number of encrypted rows, and those that no key decrypts, as ``<table> <key>``.

    ``loose``: how many secrets had been encrypted with the newest key, but bound to no place.
    """

    rows: int
    unreadable: Sequence[str]
    loose: int = 0


@attrs.frozen
class Survey:
    """How the stored secrets are encrypted: their numbers by the number of the key, and of the plain ones (None).

    ``loose``: the number of those of the former form. ``unreadable`` as in :class:`Sealed`.
    """

    by_key: Counter[int | None]
    loose: int
    unreadable: Sequence[str]


@attrs.frozen
class KeyHolder:
    """A node that runs, or (not ``running``) was lost without a word; ``newest``: it encrypts with the newest key."""

    host: str
    pid: int
    running: bool
    newest: bool


def seal(url: str, vault: Vault, *, everything: bool = False, act: Act | None = None) -> Sealed:
    """Encrypt the plain and the unbound secrets in the database with the newest key of *vault*.

    With *everything* also those that are encrypted with another key. Nodes that have the newest key may run
    meanwhile; *act* is recorded with each row. No statement contains a plain secret. Raises psycopg2.Error.
    """
    rows = loose = 0
    unreadable: list[str] = []
    with _connected(url) as connection:
        for table in _TABLES:
            unbound = " OR ".join(f"{column} NOT LIKE '{BOUND}%%'" for column in table.columns)
            for cursor, key, stored in table.rows(connection, "true" if everything else unbound, "FOR UPDATE"):
                try:
                    opened = [(place, vault.open(text, place)) for text, place in stored]
                except VaultError:
                    unreadable.append(f"{table.name} {key}")
                    continue
                if all(secret.key == 0 and secret.bound for _, secret in opened):
                    continue
                columns = ", ".join(f"{place.column} = %s" for place, _ in opened)
                sealed = [vault.encrypt(secret.secret, place) for place, secret in opened]
                cursor.execute(f"UPDATE {table.name} SET {columns} WHERE {table.key} = %s", (*sealed, key))
                if act is not None:
                    cursor.execute(sql("record_acts"), columns_of([act.on(table.name)]))
                rows += 1
                loose += sum(secret.key == 0 and not secret.bound for _, secret in opened)
    return Sealed(rows, unreadable, loose)


def survey(url: str, vault: Vault) -> Survey:
    """How the stored secrets are encrypted. It changes nothing. Raises psycopg2.Error."""
    by_key: Counter[int | None] = Counter()
    loose = 0
    unreadable: list[str] = []
    with _connected(url) as connection:
        for table in _TABLES:
            for _, key, stored in table.rows(connection, "true", ""):
                try:
                    opened = [vault.open(text, place) for text, place in stored]
                except VaultError:
                    unreadable.append(f"{table.name} {key}")
                    continue
                by_key.update(secret.key for secret in opened)
                loose += sum(secret.key is not None and not secret.bound for secret in opened)
    return Survey(by_key, loose, unreadable)


def key_holders(url: str, vault: Vault) -> list[KeyHolder]:
    """All nodes that may still write, and whether their newest key is that of *vault*. Raises psycopg2.Error."""
    with _connected(url) as connection, connection, connection.cursor() as cursor:
        cursor.execute(_NODES, {"newest": next(iter(vault.fingerprints), None)})
        return [KeyHolder(*row) for row in cursor.fetchall()]


@contextmanager
def _connected(url: str) -> Iterator[Any]:
    connection = psycopg2.connect(url, application_name=APPLICATION_NAME)
    try:
        yield connection
    finally:
        connection.close()
