"""Initial data of a new database: an account and its first jobs. Everything here blocks."""

from collections.abc import Sequence

import attrs
import psycopg2

from copilot_socket.core.acts import Act, columns
from copilot_socket.core.vault import Vault, access_token, refresh_token
from copilot_socket.store.accounts import Account
from copilot_socket.store.migrate import APPLICATION_NAME
from copilot_socket.store.sql import sql

# Values that PostgreSQL may refuse go into a statement without tokens: it logs a failed statement.
_ACCOUNT = """
INSERT INTO accounts (id, provider, gitlab_url, access_token, token_expires_at)
VALUES (%(id)s, %(provider)s, %(gitlab_url)s, '-', %(expires)s::timestamptz)
ON CONFLICT (id) DO NOTHING RETURNING id
"""

_TOKENS = "UPDATE accounts SET access_token = %(access)s, refresh_token = %(refresh)s WHERE id = %(id)s"

# Serialises concurrent calls: the second one finds the jobs of the first.
_LOCK = "SELECT FROM accounts WHERE id = %(id)s FOR UPDATE"

_JOBS = """
INSERT INTO jobs (account_id, command, max_attempts)
SELECT %(id)s, command, %(max_attempts)s FROM unnest(%(commands)s::text[]) AS command
WHERE NOT EXISTS (SELECT FROM jobs WHERE account_id = %(id)s)
RETURNING id
"""


@attrs.frozen
class Seeded:
    """The result of :func:`seed`: whether the account is new, and the ids of new jobs."""

    account_created: bool
    jobs: Sequence[str]


def seed(url: str, account: Account, commands: Sequence[str], max_attempts: int, vault: Vault, act: Act) -> Seeded:
    """Store *account* unless its id exists, and jobs for *commands* unless the account has any job.

    One idempotent transaction, by *act*. Raises psycopg2.Error, and ValueError where PostgreSQL refuses the account.
    """
    credential = account.credential
    refresh, place = credential.refresh_token, (account.id, account.gitlab_url)
    params = {
        "id": account.id,
        "provider": account.provider,
        "gitlab_url": account.gitlab_url,
        "access": vault.encrypt(credential.access_token, access_token(*place)),
        "refresh": None if refresh is None else vault.encrypt(refresh, refresh_token(*place)),
        "expires": credential.token_expires_at,
    }
    connection = psycopg2.connect(url, application_name=APPLICATION_NAME, client_encoding="UTF8")
    try:
        with connection, connection.cursor() as cursor:
            try:
                cursor.execute(_ACCOUNT, params)
            except (psycopg2.IntegrityError, psycopg2.DataError) as error:
                raise ValueError(f"account {account.id!r} can't be stored: {error.diag.message_primary}") from None
            created = cursor.fetchone() is not None
            if created:
                cursor.execute(_TOKENS, params)
            cursor.execute(_LOCK, params)
            cursor.execute(_JOBS, {"id": account.id, "commands": list(commands), "max_attempts": max_attempts})
            jobs = [row[0] for row in cursor.fetchall()]
            if created or jobs:
                done = act.on(account.id, {"account_created": created, "jobs": len(jobs)})
                cursor.execute(sql("record_acts"), columns([done]))
            return Seeded(created, jobs)
    finally:
        connection.close()
