"""Accounts and their credentials: creation, replacement, renewal. Tokens are stored here and never returned."""

from collections.abc import Mapping, Sequence

import attrs

from copilot_socket.core.acts import Act
from copilot_socket.core.jobs import Event
from copilot_socket.core.origins import origin
from copilot_socket.core.preconditions import Precondition
from copilot_socket.core.vault import Vault, access_token, refresh_token
from copilot_socket.store.account_deletion import AccountDeletion, LiveJobs
from copilot_socket.store.audit import record
from copilot_socket.store.connection import Transaction
from copilot_socket.store.database import Database
from copilot_socket.store.faults import DATA_ERRORS, ObjectInUse, primary_message
from copilot_socket.store.single import ONE_ACCOUNT
from copilot_socket.store.sql import sql
from copilot_socket.store.transitions import Transitions

BATCH = 500


@attrs.frozen
class Credential:
    """A token pair. ``token_expires_at`` is ISO 8601 with an offset; None: unknown, or never."""

    access_token: str = attrs.field(repr=False)
    refresh_token: str | None = attrs.field(default=None, repr=False)
    token_expires_at: str | None = None


@attrs.frozen
class Account:
    """An account to store. *credential* belongs to a user of the GitLab at *gitlab_url*."""

    id: str
    provider: str
    gitlab_url: str
    credential: Credential


class _CreatedMeanwhile(Exception):
    """The account that a precondition has not found was created by another transaction."""


# Values that PostgreSQL may refuse go into a statement without tokens: it logs a failed statement with its row.
_PUT = """
INSERT INTO accounts AS a (id, provider, gitlab_url, access_token, token_expires_at)
VALUES (%(id)s, %(provider)s, %(gitlab_url)s, '-', %(expires)s::timestamptz)
ON CONFLICT (id) DO UPDATE SET
  provider = excluded.provider, gitlab_url = excluded.gitlab_url, token_expires_at = excluded.token_expires_at,
  token_generation = least(a.token_generation + 1, 1000000000)
RETURNING xmax = 0, gitlab_url
"""

_RENEW = """
UPDATE accounts SET token_expires_at = %(expires)s::timestamptz,
  token_generation = least(token_generation + 1, 1000000000)
WHERE id = %(id)s RETURNING true, gitlab_url
"""

# The former values are returned; the lock comes first, or they would be those before a concurrent change.
_CHANGE = """
UPDATE accounts a SET
  weight = coalesce(%(weight)s, b.weight),
  max_running = CASE WHEN %(limited)s THEN %(max_running)s::integer ELSE b.max_running END,
  updated_at = CASE WHEN coalesce(%(weight)s, b.weight) = b.weight
                     AND NOT (%(limited)s AND b.max_running IS DISTINCT FROM %(max_running)s::integer)
                    THEN a.updated_at ELSE now() END
FROM (SELECT id, weight, max_running FROM accounts WHERE id = %(id)s FOR NO KEY UPDATE) b
WHERE a.id = b.id RETURNING b.weight, b.max_running
"""

_CREDENTIAL = """
UPDATE accounts SET
  access_token = %(access)s, refresh_token = %(refresh)s, credential_status = 'valid', credential_error = NULL,
  credential_checked_at = NULL, refresh_failures = 0, refresh_after = NULL, refresh_node = NULL, refresh_until = NULL,
  updated_at = now()
WHERE id = %(id)s
"""

_WAITING = """
SELECT id FROM jobs WHERE account_id = %(id)s AND status = 'waiting_credential' AND id > %(after)s
ORDER BY id LIMIT %(limit)s
"""


class Accounts:
    """Stores accounts and renews their credentials. Both queue the account's jobs that wait for a credential."""

    def __init__(self, database: Database, vault: Vault, transitions: Transitions) -> None:
        self._database = database
        self._vault = vault
        self._transitions = transitions
        self.deletion = AccountDeletion(database)

    async def put(self, account: Account, act: Act, precondition: Precondition | None = None) -> bool:
        """Create *account* or replace it as a whole, by *act*; return whether it is new.

        An omitted refresh token is deleted.

        Raises :class:`.LiveJobs`, :class:`.PreconditionFailed`, or ``ValueError`` for values that PostgreSQL refuses.
        """
        params = {"id": account.id, "provider": account.provider, "gitlab_url": account.gitlab_url}
        done = act.on(account.id, {"provider": account.provider, "gitlab_origin": origin(account.gitlab_url)})
        while True:
            try:
                [(created, _)] = await self._store(_PUT, params, account.credential, done, precondition)
            except _CreatedMeanwhile:
                continue
            return bool(created)

    async def renew(self, account_id: str, credential: Credential, act: Act) -> bool:
        """Replace the token pair of an account as a whole, by *act*; return False if there is no such account."""
        return bool(await self._store(_RENEW, {"id": account_id}, credential, act.on(account_id)))

    async def change(
        self,
        account_id: str,
        changes: Mapping[str, int | None],
        act: Act,
        precondition: Precondition | None = None,
    ) -> int | None:
        """Make *changes*, by *act*: to ``weight``, the jobs that a turn of the account takes in dispatch, or to its
        limit, ``max_running``.

        Returns the number of the change that nodes must act on, 0 if there is none; None for an unknown account.
        Raises :class:`.PreconditionFailed`.
        """
        key, limited = {"id": account_id}, "max_running" in changes

        async def work(tx: Transaction) -> int | None:
            revision = (await tx.query(sql("restrictions_change")))[0][0] if limited else 0
            if precondition is not None:
                await ONE_ACCOUNT.require(tx, precondition, key)
            rows = await tx.query(
                _CHANGE, {"weight": None, "max_running": None, **changes, **key, "limited": limited}
            )
            for row in rows:
                former = dict(zip(("weight", "max_running"), row, strict=True))
                made = {name: (former[name], value) for name, value in changes.items()}
                await record(tx, act.change(account_id, **made))
            return revision if rows else None

        return await self._database.transaction(work)

    async def _store(
        self,
        statement: str,
        params: Mapping[str, str],
        credential: Credential,
        act: Act,
        precondition: Precondition | None = None,
    ) -> Sequence[tuple[object, ...]]:
        account_id, refresh = params["id"], credential.refresh_token

        async def work(tx: Transaction) -> Sequence[tuple[object, ...]]:
            there = precondition is None or await ONE_ACCOUNT.require(
                tx, precondition, {"id": account_id}, creates=True
            )
            rows = await tx.query(statement, {**params, "expires": credential.token_expires_at})
            if not there and not rows[0][0]:
                raise _CreatedMeanwhile
            for _, gitlab_url in rows:
                place = account_id, gitlab_url
                sealed = {
                    "id": account_id,
                    "access": self._vault.encrypt(credential.access_token, access_token(*place)),
                    "refresh": None if refresh is None else self._vault.encrypt(refresh, refresh_token(*place)),
                }
                await tx.query(_CREDENTIAL, sealed)
            if rows:
                await record(tx, act)
            return rows

        try:
            rows = await self._database.transaction(work)
        except ObjectInUse as error:
            raise LiveJobs(primary_message(error)) from None
        except DATA_ERRORS as error:
            # The error quotes the refused row, tokens included: it must not reach a log.
            raise ValueError(f"account {account_id!r} can't be stored: {primary_message(error)}") from None
        if rows:
            await self._queue_waiting(account_id)
        return rows

    async def _queue_waiting(self, account_id: str) -> None:
        """Queue the account's waiting jobs, :data:`BATCH` at a time, so that no turn of the reactor takes long.

        If the node ends meanwhile, the rest is queued by the next :meth:`.Leases.settle_refused` of any node.
        """
        after = ""
        while waiting := await self._database.query(_WAITING, {"id": account_id, "after": after, "limit": BATCH}):
            await self._transitions.apply([row[0] for row in waiting], Event.RENEWED)
            after = waiting[-1][0]
