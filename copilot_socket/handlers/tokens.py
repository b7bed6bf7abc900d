"""GitLab tokens: fresh ones for jobs about to be sent, new ones for crawlers whose token has expired.

One refresh at a time for an account, here and across nodes; a new pair is committed before anyone sees it.
"""

from typing import Any

import psycopg2
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel

from copilot_socket.core.reports import job_of
from copilot_socket.core.vault import Vault, VaultError
from copilot_socket.handlers.oauth import Grant, Pair, Refused, Unavailable
from copilot_socket.store.database import Database
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.outage import level
from copilot_socket.store.sql import sql
from copilot_socket.store.turns import Claimed
from copilot_socket.telling import Telling, TokenRefreshed

__all__ = ["Granted", "Refused", "Tokens", "Unavailable"]

MIN_LIFETIME = 60.0
"""Seconds that a token must still live when it is handed out."""
REFRESH_LIMIT = 20.0
"""Seconds for which a node's claim on refreshing an account holds."""
ANSWER_WITHIN = 12.0
ASSUMED_LIFETIME = 7200.0
"""What GitLab gives by default, for tokens whose end is not known."""
POLL = 0.1


class Granted:
    """A token for a crawler; ``expires_at`` in seconds since the epoch, None where it is not known."""

    def __init__(self, access_token: str, expires_at: float | None) -> None:
        self.access_token = access_token
        self.expires_at = expires_at


class Tokens:
    """Tokens of accounts, over the pool."""

    log = Logger()

    def __init__(
        self,
        database: Database,
        vault: Vault,
        grant: Grant,
        node: str,
        reactor: IReactorTime,
        telling: Telling,
    ) -> None:
        self._database = database
        self._vault = vault
        self._grant = grant
        self._node = node
        self._reactor = reactor
        self._telling = telling
        self._flights: dict[str, list[Deferred[Granted]]] = {}

    def reveal(self, stored: str) -> str:
        """The token behind its stored form."""
        return self._vault.decrypt(stored)

    def good(self, job: Claimed) -> bool:
        """Whether *job* can be sent with the token that its account has now."""
        return job.credential_status == "valid" and (job.expires_in is None or job.expires_in > MIN_LIFETIME)

    async def fresh(self, account: str) -> str:
        """A token of *account* that lives long enough. Raises :class:`Refused` or :class:`Unavailable`."""
        row = await self._account(account)
        if row[5] != "valid":
            raise Refused("the account's credential has expired")
        if row[3] is None or row[3] > MIN_LIFETIME:
            return self.reveal(row[1])
        return (await self._refresh(account, row[0])).access_token

    async def for_assignment(self, assignment: str, crawler: str) -> Granted:
        """A token newer than the one that *crawler* was given for *assignment*.

        Raises :class:`Refused` (also for assignments that are not this crawler's) or :class:`Unavailable`.
        """
        flight = Deferred.fromCoroutine(self._for_assignment(assignment, crawler))
        try:
            return await flight.addTimeout(ANSWER_WITHIN, self._reactor)
        except (Refused, Unavailable):
            raise
        except Exception as error:
            raise Unavailable(f"no token in time: {type(error).__name__}") from None

    async def _for_assignment(self, assignment: str, crawler: str) -> Granted:
        names = {"job": job_of(assignment), "assignment": assignment}
        rows = await self._database.query(sql("account_of_assignment"), names)
        if not rows:
            raise Refused("no such assignment")
        [(holder, held, given, account, generation, stored, expires_at, expires_in)] = rows
        if holder != crawler and held:
            raise Refused("another crawler's assignment")
        try:
            if generation > given and (expires_in is None or expires_in > MIN_LIFETIME):
                granted = Granted(self.reveal(stored), expires_at)
            else:
                granted = await self._refresh(account, generation)
        except Refused:
            await self._database.query(sql("refuse_credential"), names)
            raise
        await self._database.query(sql("handed_token"), {"job": [names["job"]]})
        return granted

    async def _account(self, account: str) -> tuple[Any, ...]:
        try:
            [row] = await self._database.query(sql("account_token"), {"account": account})
        except (DatabaseAway, psycopg2.Error) as error:
            raise Unavailable("the database is away") from error
        return row

    def _refresh(self, account: str, generation: int) -> "Deferred[Granted]":
        """Join the refresh of *account* that is under way here, or begin one."""
        waiter: Deferred[Granted] = Deferred()
        flight = self._flights.setdefault(account, [])
        flight.append(waiter)
        if len(flight) == 1:
            d = Deferred.fromCoroutine(self._fly(account, generation))
            d.addBoth(self._landed, account)
        return waiter

    def _landed(self, result: Any, account: str) -> None:
        for waiter in self._flights.pop(account):
            if not waiter.called:
                waiter.callback(result)

    async def _fly(self, account: str, generation: int) -> Granted:
        """Refresh *account*, or wait for the node that does."""
        give_up = self._reactor.seconds() + REFRESH_LIMIT
        while self._reactor.seconds() < give_up:
            now, stored, expires_at, expires_in, refreshing, status = await self._account(account)
            if now > generation and (expires_in is None or expires_in > MIN_LIFETIME):
                return Granted(self.reveal(stored), expires_at)
            if status != "valid":
                raise Refused("the account's credential has expired")
            if not refreshing:
                rows = await self._database.query(
                    sql("begin_refresh"),
                    {"node": self._node, "limit": REFRESH_LIMIT, "account": account, "generation": now},
                )
                if rows:
                    return await self._do_refresh(account, now, *rows[0])
            await deferLater(self._reactor, POLL)
        raise Unavailable("another node's refresh of this account takes too long")

    async def _do_refresh(self, account: str, generation: int, gitlab_url: str, refresh_token: str | None) -> Granted:
        names = {"account": account, "node": self._node, "generation": generation}
        try:
            if refresh_token is None:
                raise Refused("the account has no refresh token")
            pair = await self._grant.refresh(gitlab_url, self.reveal(refresh_token))
        except (Refused, Unavailable, VaultError) as problem:
            refused = isinstance(problem, Refused)
            self.log.warn("No new token for account {account}: {why}", account=account, why=problem)
            await self._database.query(sql("give_up_refresh"), {**names, "refused": refused})
            self._telling.tell(TokenRefreshed(account, "refused" if refused else "failed"))
            raise problem if not isinstance(problem, VaultError) else Unavailable(str(problem)) from problem
        return await self._keep(pair, names)

    async def _keep(self, pair: Pair, names: dict[str, Any]) -> Granted:
        """Store *pair*, however long that takes: GitLab has revoked the old one, this is all there is."""
        parameters = {
            **names,
            "access": self._vault.encrypt(pair.access_token),
            "refresh": pair.refresh_token and self._vault.encrypt(pair.refresh_token),
            "lifetime": pair.lifetime,
        }
        while True:
            try:
                rows = await self._database.query(sql("store_refreshed"), parameters)
                break
            except (DatabaseAway, psycopg2.Error) as error:
                # Its text may quote the row.
                self.log.emit(
                    level(error, LogLevel.error),
                    "A new token can't be stored yet: {error}",
                    error=type(error).__name__,
                )
                await deferLater(self._reactor, 0.5)
        self._telling.tell(TokenRefreshed(names["account"], "refreshed"))
        if not rows:  # renewed by hand meanwhile, or stored by the attempt that looked lost
            _now, stored, expires_at, *_ = await self._account(names["account"])
            return Granted(self.reveal(stored), expires_at)
        return Granted(pair.access_token, rows[0][1])
