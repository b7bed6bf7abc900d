"""Tokens of accounts as crawlers receive them, and the refresh of token pairs: one at a time for each account.

The result of a refresh is stored however long the database is away: GitLab has revoked the old pair, and a refusal is
final.
"""

from collections.abc import Mapping
from typing import Any

import attrs
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel

from copilot_socket.core.reports import job_of
from copilot_socket.core.vault import Place, Vault, access_token, refresh_token
from copilot_socket.store.connection import Row
from copilot_socket.store.database import Database
from copilot_socket.store.faults import DATABASE_ERRORS, Remedy, remedy, sqlstate
from copilot_socket.store.outage import level
from copilot_socket.store.sql import sql

MIN_LIFETIME = 60.0
"""Seconds for which a token must still be valid when it is sent to a crawler."""
JUST_REFRESHED = 30.0
"""Seconds after a refresh in which its token is sent even if valid for less: GitLab issues no longer ones then."""
LEASE = 150.0
"""Seconds of a node's lease on the refresh of an account: longer than a request to GitLab and storing its result."""
STORE_AGAIN = 0.5
"""Seconds between attempts to store the result of a refresh while the database is away."""


@attrs.frozen
class StoredToken:
    """An account's token, encrypted. Times are in seconds from now, except ``expires_at`` (since the epoch)."""

    generation: int
    sealed: str = attrs.field(repr=False)
    expires_at: float | None
    expires_in: float | None
    being_refreshed: bool | None
    status: str
    error: str | None
    failures: int
    wait: float | None
    """Seconds until the next refresh is allowed."""
    refreshed: float | None
    """Seconds since the last refresh, None if that failed."""
    account: str
    gitlab_url: str

    @property
    def place(self) -> Place:
        """Where it is stored."""
        return access_token(self.account, self.gitlab_url)

    def lives(self) -> bool:
        """Whether the token is valid for long enough to be sent to a crawler."""
        return self.expires_in is None or self.expires_in > MIN_LIFETIME

    def just_refreshed(self) -> bool:
        """Whether the token may be sent although it expires soon: it is the newest that GitLab issues."""
        return self.refreshed is not None and self.refreshed < JUST_REFRESHED and (self.expires_in or 0.0) > 0.0


@attrs.frozen
class Holding:
    """The crawler that holds a live assignment, and the ``generation`` of the token that it was sent."""

    crawler: str
    present: bool | None
    """Whether the crawler's lease is unexpired; None without a lease."""
    generation: int
    account: str


@attrs.frozen
class Refresh:
    """A refresh begun by this node, of the token of *account* in *generation*, by the refresh token *sealed*."""

    account: str
    generation: int
    gitlab_url: str
    sealed: str | None = attrs.field(repr=False)


class PairRefused(Exception):
    """PostgreSQL refuses a token pair. The message is the SQLSTATE: PostgreSQL's own would quote the row."""


class Credentials:
    """Reads and stores the tokens of accounts over the pool, for refreshes by *node*."""

    log = Logger()

    def __init__(self, database: Database, vault: Vault, node: str) -> None:
        self._database = database
        self._vault = vault
        self._node = node

    def reveal(self, sealed: str, place: Place) -> str:
        """Decrypt the token stored in *place*. Raises ``VaultError``."""
        return self._vault.decrypt(sealed, place)

    async def token(self, account: str) -> StoredToken | None:
        """The token of *account*; None if there is no such account."""
        rows = await self._database.query(sql("account_token"), {"account": account})
        return StoredToken(*rows[0]) if rows else None

    async def holding(self, assignment: str) -> Holding | None:
        """The holder of *assignment*; None if it is not live."""
        rows = await self._database.query(sql("holding"), _names(assignment))
        return Holding(*rows[0]) if rows else None

    async def handed(self, *assignments: str) -> list[str]:
        """Record that the crawlers of *assignments* receive the current tokens; return those that are live."""
        jobs = [job_of(assignment) for assignment in assignments]
        rows = await self._database.query(sql("handed_token"), {"job": jobs})
        return [row[0] for row in rows if row[0] in assignments]

    async def refused(self, assignment: str) -> None:
        """Record that the crawler of *assignment* was refused a new token."""
        await self._database.query(sql("refuse_credential"), _names(assignment))

    # -- refreshes

    async def begin(self, account: str, generation: int) -> Refresh | None:
        """Begin to refresh the token of *account*; None where another node does so, or the token is newer."""
        names = {"account": account, "generation": generation, "node": self._node, "lease": LEASE}
        rows = await self._database.query(sql("begin_refresh"), names)
        return Refresh(account, generation, *rows[0]) if rows else None

    async def keep(self, refresh: Refresh, access: str, renewed: str | None, lifetime: float | None) -> list[Row]:
        """Store the new pair of *refresh* (*renewed* None: the refresh token stays; *lifetime* in seconds).

        Returns one row with the time of expiry (since the epoch), or none where the account has a newer pair. Raises
        :class:`PairRefused`.
        """
        of = refresh.account, refresh.gitlab_url
        pair = {
            "access": self._vault.encrypt(access, access_token(*of)),
            "refresh": renewed and self._vault.encrypt(renewed, refresh_token(*of)),
            "lifetime": lifetime,
        }
        try:
            return await self._store("store_refreshed", refresh, pair)
        except DATABASE_ERRORS as error:
            raise PairRefused(sqlstate(error)) from None

    async def refuse(self, refresh: Refresh, error: str) -> None:
        """Mark the credential as expired, until it is renewed; *error* is the reason."""
        await self._store("refuse_refresh", refresh, {"error": error})

    async def put_off(self, refresh: Refresh, error: str, wait: float) -> None:
        """Record that the refresh has failed; the next one is allowed in *wait* seconds. *error* is the reason."""
        await self._store("put_off_refresh", refresh, {"error": error, "wait": wait})

    async def _store(self, statement: str, refresh: Refresh, parameters: Mapping[str, Any]) -> list[Row]:
        """Run *statement*, and repeat it while the database is away. Raises where PostgreSQL refuses the data."""
        names = {"account": refresh.account, "generation": refresh.generation, "node": self._node}
        while True:
            try:
                return await self._database.query(sql(statement), {**names, **parameters})
            except DATABASE_ERRORS as error:
                if remedy(error) is Remedy.REFUSE:
                    raise
                # The message may quote the row.
                self.log.emit(
                    level(error, LogLevel.error),
                    "The result of a token refresh can't be stored yet: {error}",
                    error=type(error).__name__,
                )
                await deferLater(self._database.reactor, STORE_AGAIN)


def _names(assignment: str) -> dict[str, str]:
    return {"job": job_of(assignment), "assignment": assignment}
