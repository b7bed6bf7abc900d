"""Registration of OAuth clients by an operator. Everything here blocks, and raises psycopg2.Error."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

from copilot_socket.core.acts import Act, columns
from copilot_socket.core.vault import Vault, client_secret
from copilot_socket.store.migrate import APPLICATION_NAME
from copilot_socket.store.oauth_clients import OAuthClient
from copilot_socket.store.sql import sql

# Values that PostgreSQL may refuse go into a statement without the secret: it logs a failed statement.
_PUT = """
INSERT INTO oauth_clients (origin, client_id, redirect_uri) VALUES (%(origin)s, %(id)s, %(redirect_uri)s)
ON CONFLICT (origin) DO UPDATE SET
  client_id = excluded.client_id, redirect_uri = excluded.redirect_uri, updated_at = now()
"""

_SECRET = "UPDATE oauth_clients SET client_secret = %(secret)s WHERE origin = %(origin)s"

_REMOVE = "DELETE FROM oauth_clients WHERE origin = %(origin)s"

_LIST = "SELECT origin, client_id, redirect_uri, client_secret IS NOT NULL FROM oauth_clients ORDER BY origin"


def put(url: str, origin: str, client: OAuthClient, vault: Vault, act: Act) -> None:
    """Store *client* for the GitLab at *origin* in the database at *url*, by *act*; an existing one is replaced."""
    secret = None if client.secret is None else vault.encrypt(client.secret, client_secret(origin))
    values = {"origin": origin, "id": client.id, "redirect_uri": client.redirect_uri, "secret": secret}
    with _cursor(url) as cursor:
        cursor.execute(_PUT, values)
        cursor.execute(_SECRET, values)
        cursor.execute(sql("record_acts"), columns([act.on(origin, {"client_id": client.id})]))


def remove(url: str, origin: str, act: Act) -> bool:
    """Remove the client for *origin*, by *act*; return whether there was one."""
    with _cursor(url) as cursor:
        cursor.execute(_REMOVE, {"origin": origin})
        removed = bool(cursor.rowcount)
        if removed:
            cursor.execute(sql("record_acts"), columns([act.on(origin)]))
        return removed


def listed(url: str) -> list[dict[str, Any]]:
    """All clients by origin, without their secrets."""
    with _cursor(url) as cursor:
        cursor.execute(_LIST)
        return [
            {"origin": origin, "client_id": client_id, "redirect_uri": redirect_uri, "has_secret": has_secret}
            for origin, client_id, redirect_uri, has_secret in cursor.fetchall()
        ]


@contextmanager
def _cursor(url: str) -> Iterator[Any]:
    """A cursor in a transaction, which is committed at the end."""
    connection = psycopg2.connect(url, application_name=APPLICATION_NAME)
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()
