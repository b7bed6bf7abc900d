"""Accounts' tokens as crawlers get them, and the refresh of a token pair, of which there is one at a time.

What a refresh brings is stored however long the database is away: GitLab has revoked the old pair, and refuses for
good what it refuses.
"""

from collections.abc import Mapping
from typing import Any

import attrs
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel

from copilot_socket.core.reports import job_of
from copilot_socket.core.vault import Vault
from copilot_socket.store.connection import Row
from copilot_socket.store.database import Database
from copilot_socket.store.faults import DATABASE_ERRORS, Remedy, remedy, sqlstate
from copilot_socket.store.outage import level
from copilot_socket.store.sql import sql

MIN_LIFETIME = 60.0
"""Seconds that a token must still live when it is handed out."""
JUST_REFRESHED = 30.0
"""Seconds after a refresh in which its token is handed out though it lives for less: GitLab gives no longer ones."""
LEASE = 150.0
"""Seconds for which a node's lease on an account's refresh holds: longer than an exchange, and storing its pair."""
STORE_AGAIN = 0.5
"""Seconds before what a refresh brought is stored again, where the database was away."""


@attrs.frozen
class StoredToken:
    """An account's token, sealed. Times in seconds from now, but for ``expires_at`` (since the epoch)."""

    generation: int
    sealed: str = attrs.field(repr=False)
    expires_at: float | None
    expires_in: float | None
    being_refreshed: bool | None
    status: str
    error: str | None
    failures: int
    wait: float | None
    """Until GitLab may be asked again."""
    refreshed: float | None
    """Since the last refresh, if that worked."""

    def lives(self) -> bool:
        """Whether the token may be handed out."""
        return self.expires_in is None or self.expires_in > MIN_LIFETIME

    def just_refreshed(self) -> bool:
        """Whether the token may be handed out since there is no better one."""
        return self.refreshed is not None and self.refreshed < JUST_REFRESHED and (self.expires_in or 0.0) > 0.0


@attrs.frozen
class Holding:
    """Who holds a live assignment, and the ``generation`` of the token that was given with it."""

    crawler: str
    present: bool | None
    """Whether its crawler's lease holds."""
    generation: int
    account: str


@attrs.frozen
class Refresh:
    """This node's refresh of the token that *account* has in *generation*, by a refresh token (*sealed*)."""

    account: str
    generation: int
    gitlab_url: str
    sealed: str | None = attrs.field(repr=False)


class PairRefused(Exception):
    """PostgreSQL refuses a token pair; the message is the SQLSTATE, since its own would quote the row."""


class Credentials:
    """The tokens of accounts, over the pool. *node* is whose refreshes these are."""

    log = Logger()

    def __init__(self, database: Database, vault: Vault, node: str) -> None:
        self._database = database
        self._vault = vault
        self._node = node

    def reveal(self, sealed: str) -> str:
        """The token behind its stored form. Raises ``VaultError``."""
        return self._vault.decrypt(sealed)

    async def token(self, account: str) -> StoredToken | None:
        """The token of *account*; None if there is no such account."""
        rows = await self._database.query(sql("account_token"), {"account": account})
        return StoredToken(*rows[0]) if rows else None

    async def holding(self, assignment: str) -> Holding | None:
        """Who holds *assignment*; None if nobody does."""
        rows = await self._database.query(sql("holding"), _names(assignment))
        return Holding(*rows[0]) if rows else None

    async def handed(self, *assignments: str) -> list[str]:
        """Note that the crawlers of *assignments* were given their account's present token; those that still live."""
        jobs = [job_of(assignment) for assignment in assignments]
        rows = await self._database.query(sql("handed_token"), {"job": jobs})
        return [row[0] for row in rows if row[0] in assignments]

    async def refused(self, assignment: str) -> None:
        """Note that the crawler of *assignment* was refused a new token."""
        await self._database.query(sql("refuse_credential"), _names(assignment))

    # -- a refresh

    async def begin(self, account: str, generation: int) -> Refresh | None:
        """Take the refresh of *account* on; None where another node has, or it has a newer token."""
        names = {"account": account, "generation": generation, "node": self._node, "lease": LEASE}
        rows = await self._database.query(sql("begin_refresh"), names)
        return Refresh(account, generation, *rows[0]) if rows else None

    async def keep(self, refresh: Refresh, access: str, renewed: str | None, lifetime: float | None) -> list[Row]:
        """Store the pair that *refresh* brought (*renewed* None: the refresh token stays; *lifetime* in seconds).

        The time of its end in a row; no row where the account had a newer pair already. Raises :class:`PairRefused`.
        """
        pair = {
            "access": self._vault.encrypt(access),
            "refresh": renewed and self._vault.encrypt(renewed),
            "lifetime": lifetime,
        }
        try:
            return await self._store("store_refreshed", refresh, pair)
        except DATABASE_ERRORS as error:
            raise PairRefused(sqlstate(error)) from None

    async def refuse(self, refresh: Refresh, error: str) -> None:
        """There is no new pair until somebody renews the credential; *error* says why."""
        await self._store("refuse_refresh", refresh, {"error": error})

    async def put_off(self, refresh: Refresh, error: str, wait: float) -> None:
        """There is no new pair for now: nobody asks GitLab for *wait* seconds; *error* says why."""
        await self._store("put_off_refresh", refresh, {"error": error, "wait": wait})

    async def _store(self, statement: str, refresh: Refresh, parameters: Mapping[str, Any]) -> list[Row]:
        """Run *statement*, however long the database is away. Raises what PostgreSQL says of the data."""
        names = {"account": refresh.account, "generation": refresh.generation, "node": self._node}
        while True:
            try:
                return await self._database.query(sql(statement), {**names, **parameters})
            except DATABASE_ERRORS as error:
                if remedy(error) is Remedy.REFUSE:
                    raise
                # Its text may quote the row.
                self.log.emit(
                    level(error, LogLevel.error),
                    "What a refresh brought can't be stored yet: {error}",
                    error=type(error).__name__,
                )
                await deferLater(self._database.reactor, STORE_AGAIN)


def _names(assignment: str) -> dict[str, str]:
    return {"job": job_of(assignment), "assignment": assignment}
