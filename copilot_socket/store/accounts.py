"""Accounts and their credentials. Tokens come in here and never go out."""

from collections.abc import Callable, Mapping, Sequence

import attrs
import psycopg2

from copilot_socket.core.jobs import Event
from copilot_socket.core.vault import Vault
from copilot_socket.store.database import Database
from copilot_socket.store.transitions import Transitions

BATCH = 500


@attrs.frozen
class Credential:
    """A token pair. ``token_expires_at`` is ISO-8601 with its zone; None: unknown, or never."""

    access_token: str = attrs.field(repr=False)
    refresh_token: str | None = attrs.field(default=None, repr=False)
    token_expires_at: str | None = None


@attrs.frozen
class Account:
    """An account as it is put: *credential* belongs to a user of the GitLab at *gitlab_url*."""

    id: str
    provider: str
    gitlab_url: str
    credential: Credential


_PUT = """
INSERT INTO accounts AS a (id, provider, gitlab_url, access_token, refresh_token, token_expires_at)
VALUES (%(id)s, %(provider)s, %(gitlab_url)s, %(access)s, %(refresh)s, %(expires)s::timestamptz)
ON CONFLICT (id) DO UPDATE SET
  provider = excluded.provider, gitlab_url = excluded.gitlab_url, access_token = excluded.access_token,
  refresh_token = excluded.refresh_token, token_expires_at = excluded.token_expires_at, credential_status = 'valid',
  token_generation = least(a.token_generation + 1, 1000000000), refresh_node = NULL, refresh_until = NULL,
  updated_at = now()
RETURNING xmax = 0
"""

_RENEW = """
UPDATE accounts SET
  access_token = %(access)s, refresh_token = %(refresh)s, token_expires_at = %(expires)s::timestamptz,
  credential_status = 'valid', token_generation = least(token_generation + 1, 1000000000), refresh_node = NULL,
  refresh_until = NULL, updated_at = now()
WHERE id = %(id)s RETURNING true
"""

_WAITING = """
SELECT id FROM jobs WHERE account_id = %(id)s AND status = 'waiting_credential' AND id > %(after)s
ORDER BY id LIMIT %(limit)s
"""


class Accounts:
    """Puts and renews accounts. After a renewal the account's waiting jobs are queued."""

    def __init__(self, database: Database, vault: Vault, transitions: Transitions, wake: Callable[[], None]) -> None:
        self._database = database
        self._vault = vault
        self._transitions = transitions
        self._wake = wake

    async def put(self, account: Account) -> bool:
        """Create *account* or replace all of it; whether it is new. A token pair left out is gone."""
        params = self._sealed(account.credential)
        params |= {"provider": account.provider, "gitlab_url": account.gitlab_url}
        [(created,)] = await self._change(account.id, _PUT, params)
        return bool(created)

    async def renew(self, account_id: str, credential: Credential) -> bool:
        """Replace the whole token pair of an account; False if there is no such account."""
        return bool(await self._change(account_id, _RENEW, self._sealed(credential)))

    def _sealed(self, credential: Credential) -> dict[str, str | None]:
        refresh = credential.refresh_token
        return {
            "access": self._vault.encrypt(credential.access_token),
            "refresh": None if refresh is None else self._vault.encrypt(refresh),
            "expires": credential.token_expires_at,
        }

    async def _change(
        self, account_id: str, sql: str, params: Mapping[str, str | None]
    ) -> Sequence[tuple[object, ...]]:
        try:
            rows = await self._database.query(sql, {**params, "id": account_id})
        except (psycopg2.IntegrityError, psycopg2.DataError) as error:
            # Such an error quotes the row it refuses, tokens included: it must not travel on to a log.
            raise ValueError(f"account {account_id!r} can't be stored: {error.diag.message_primary}") from None
        if rows and await self._queue_waiting(account_id):
            self._wake()
        return rows

    async def _queue_waiting(self, account_id: str) -> bool:
        """Queue the account's waiting jobs, so many at a time as one turn of the reactor can bear; if there are any.

        What is left behind if the node ends meanwhile is queued with the next release of expired leases.
        """
        after = ""
        while waiting := await self._database.query(_WAITING, {"id": account_id, "after": after, "limit": BATCH}):
            await self._transitions.apply([row[0] for row in waiting], Event.RENEWED)
            after = waiting[-1][0]
        return after != ""
