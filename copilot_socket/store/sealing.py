"""Encryption of stored secrets: of plain ones, or of all of them with a newer key. Everything here blocks."""

from collections.abc import Sequence

import attrs
import psycopg2

from copilot_socket.core.acts import Act
from copilot_socket.core.acts import columns as columns_of
from copilot_socket.core.vault import Vault, VaultError
from copilot_socket.store.migrate import APPLICATION_NAME
from copilot_socket.store.sql import sql

BATCH = 500
"""Rows of one transaction."""

_SECRETS = {"accounts": ("id", ("access_token", "refresh_token")), "oauth_clients": ("origin", ("client_secret",))}
"""Table → its key, and its encrypted columns."""


@attrs.frozen
class Sealed:
    """The number of encrypted rows, and those that no key decrypts, as ``<table> <key>``."""

    rows: int
    unreadable: Sequence[str]


def seal(url: str, vault: Vault, *, everything: bool = False, act: Act | None = None) -> Sealed:
    """Encrypt the plain secrets in the database with the newest key of *vault*; with *everything*, all of them.

    Each transaction records how many rows *act* has encrypted. Nodes that have the key may run meanwhile. No
    statement contains a plain secret. Raises psycopg2.Error.
    """
    rows = 0
    unreadable: list[str] = []
    connection = psycopg2.connect(url, application_name=APPLICATION_NAME)
    try:
        for table, (key, columns) in _SECRETS.items():
            plain = " OR ".join(f"{column} NOT LIKE 'fernet:%%'" for column in columns)
            wanted = "true" if everything else plain
            select = (
                f"SELECT {key}, {', '.join(columns)} FROM {table} WHERE {key} > %s AND ({wanted})"
                f" ORDER BY {key} LIMIT {BATCH} FOR UPDATE"
            )
            update = f"UPDATE {table} SET {', '.join(f'{column} = %s' for column in columns)} WHERE {key} = %s"
            after = ""
            while True:
                with connection, connection.cursor() as cursor:
                    cursor.execute(select, (after,))
                    found = cursor.fetchall()
                    done = 0
                    for name, *stored in found:
                        try:
                            sealed = [None if text is None else vault.encrypt(vault.decrypt(text)) for text in stored]
                        except VaultError:
                            unreadable.append(f"{table} {name}")
                            continue
                        cursor.execute(update, (*sealed, name))
                        done += 1
                    if done and act is not None:
                        cursor.execute(sql("record_acts"), columns_of([act.on(table, count=done)]))
                rows += done
                if not found:
                    break
                after = found[-1][0]
    finally:
        connection.close()
    return Sealed(rows, unreadable)
