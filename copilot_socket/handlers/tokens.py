"""GitLab tokens: fresh ones for jobs about to be sent, new ones for crawlers whose token has expired.

One refresh at a time for an account, here and across nodes; a new pair is committed before anyone sees it. GitLab
revokes the old pair as it gives out a new one, and the new one if the old is used once more: so an exchange that has
begun is waited for and its pair stored, whoever still waits for it, and nobody begins another one meanwhile.
"""

import contextlib
import random
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredList, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from copilot_socket.core.reports import job_of
from copilot_socket.core.retry import full_jitter
from copilot_socket.core.vault import Vault, VaultError
from copilot_socket.handlers.oauth import Grant, Pair, Refused, Unavailable
from copilot_socket.store.connection import Row
from copilot_socket.store.database import Database
from copilot_socket.store.faults import DATABASE_ERRORS, DatabaseAway, Remedy, remedy, sqlstate
from copilot_socket.store.outage import level
from copilot_socket.store.sql import sql
from copilot_socket.store.turns import Claimed
from copilot_socket.telling import Telling, TokenRefreshed

__all__ = ["Granted", "Refused", "Tokens", "Unavailable"]

T = TypeVar("T")

MIN_LIFETIME = 60.0
"""Seconds that a token must still live when it is handed out."""
JUST_REFRESHED = 30.0
"""Seconds after a refresh in which its token is handed out though it lives for less: GitLab gives no longer ones."""
CLAIM = 150.0
"""Seconds for which a node's claim on refreshing an account holds: longer than an exchange, and storing its pair."""
ANSWER_WITHIN = 12.0
"""Seconds that anybody waits for a token."""
ASSUMED_LIFETIME = 7200.0
"""What GitLab gives by default, for tokens whose end is not known."""
BACK_OFF = 2.0
LONGEST_BACK_OFF = 300.0
"""Seconds, with full jitter, before an account's refresh is tried again after one that failed."""
LONGEST_WAIT = 600.0
"""Seconds that GitLab may ask for by ``Retry-After``."""
POLL = 0.2
"""Seconds between looks whether another node has refreshed an account."""
STORE_AGAIN = 0.5
"""Seconds before what a refresh brought is stored again, where the database was away."""


@attrs.frozen
class Granted:
    """A token for a crawler; ``expires_at`` in seconds since the epoch, None where it is not known."""

    access_token: str = attrs.field(repr=False)
    expires_at: float | None


@attrs.frozen
class _Credential:
    """An account's row, as ``account_token`` reads it. Times in seconds from now, but for ``expires_at``."""

    generation: int
    access_token: str = attrs.field(repr=False)
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
class _Flight:
    """The refresh of the token that an account has at the moment."""

    account: str
    generation: int


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
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._vault = vault
        self._grant = grant
        self._node = node
        self._reactor = reactor
        self._telling = telling
        self._jitter = jitter
        self._waiting: dict[_Flight, list[Deferred[Granted]]] = {}
        self._under_way: set[Deferred[None]] = set()
        self._stopping = False

    def reveal(self, stored: str) -> str:
        """The token behind its stored form."""
        return self._vault.decrypt(stored)

    def reveal_or_nothing(self, stored: str) -> str:
        """The same, or nothing where no key fits."""
        try:
            return self.reveal(stored)
        except VaultError:
            return ""

    def good(self, job: Claimed) -> bool:
        """Whether *job* can be sent with the token that its account has now."""
        return job.credential_status == "valid" and (job.expires_in is None or job.expires_in > MIN_LIFETIME)

    async def fresh(self, account: str) -> str:
        """A token of *account* that lives long enough. Raises :class:`Refused` or :class:`Unavailable`."""
        return await self._in_time(self._fresh(account))

    async def for_assignment(self, assignment: str, crawler: str) -> Granted:
        """A token newer than the one that *crawler* was given for *assignment*.

        Raises :class:`Refused` (also for assignments that are not this crawler's) or :class:`Unavailable`.
        """
        return await self._in_time(self._for_assignment(assignment, crawler))

    async def stop(self, limit: float) -> None:
        """Begin no refresh any more; wait up to *limit* seconds until the pairs that are on their way are stored."""
        self._stopping = True
        for flight in list(self._waiting):
            self._land(flight, Failure(Unavailable("the node stops")))
        if self._under_way:
            self.log.info("Waiting for {count} refreshes of tokens", count=len(self._under_way))
            with contextlib.suppress(TimeoutError):
                await DeferredList(list(self._under_way)).addTimeout(limit, self._reactor)

    async def _in_time(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        """The outcome of *work*, if it comes before its crawler has given up."""
        try:
            return await Deferred.fromCoroutine(work).addTimeout(ANSWER_WITHIN, self._reactor)
        except (Refused, Unavailable):
            raise
        except VaultError as error:
            raise Unavailable(str(error)) from None
        except Exception as error:
            raise Unavailable(f"no token in time: {type(error).__name__}") from None

    async def _fresh(self, account: str) -> str:
        credential = await self._credential(account)
        if credential.status == "valid" and (credential.lives() or credential.just_refreshed()):
            return self.reveal(credential.access_token)
        return (await self._refresh(account, credential.generation)).access_token

    async def _for_assignment(self, assignment: str, crawler: str) -> Granted:
        names = {"job": job_of(assignment), "assignment": assignment}
        rows = await self._database.query(sql("account_of_assignment"), names)
        if not rows:
            raise Refused("no such assignment")
        [(holder, held, given, account)] = rows
        if holder != crawler and held:
            raise Refused("another crawler's assignment")
        credential = await self._credential(account)
        try:
            if credential.generation > given and credential.lives():
                granted = Granted(self.reveal(credential.access_token), credential.expires_at)
            else:
                granted = await self._refresh(account, credential.generation)
        except Refused:
            await self._database.query(sql("refuse_credential"), names)
            raise
        await self._database.query(sql("handed_token"), {"job": [names["job"]]})
        return granted

    async def _credential(self, account: str) -> _Credential:
        try:
            rows = await self._database.query(sql("account_token"), {"account": account})
        except DATABASE_ERRORS as error:
            raise Unavailable("the database is away") from error
        if not rows:
            raise Refused("no such account")
        return _Credential(*rows[0])

    # -- one refresh at a time

    def _refresh(self, account: str, generation: int) -> "Deferred[Granted]":
        """A newer token than *generation*, which the account had a moment ago: join its refresh, or begin one."""
        flight = _Flight(account, generation)
        waiter: Deferred[Granted] = Deferred(lambda waiter: self._leave(flight, waiter))
        if flight in self._waiting:
            self._waiting[flight].append(waiter)
        else:
            self._waiting[flight] = [waiter]
            d: Deferred[Any] = Deferred.fromCoroutine(self._fly(flight))
            self._under_way.add(d)
            d.addBoth(lambda result: self._land(flight, result))
            d.addBoth(lambda _: self._under_way.discard(d))
        return waiter

    def _leave(self, flight: "_Flight", waiter: "Deferred[Granted]") -> None:
        """*waiter* has given up; the refresh goes on."""
        waiting = self._waiting.get(flight, [])
        if waiter in waiting:
            waiting.remove(waiter)

    def _land(self, flight: "_Flight", result: Any) -> None:
        for waiter in self._waiting.pop(flight, []):
            waiter.callback(result)

    async def _fly(self, flight: "_Flight") -> Granted:
        """Refresh the account, or wait for the node that does."""
        account, give_up = flight.account, self._reactor.seconds() + CLAIM
        while self._reactor.seconds() < give_up:
            credential = await self._credential(account)
            if credential.generation > flight.generation and credential.lives():
                return Granted(self.reveal(credential.access_token), credential.expires_at)
            if credential.status != "valid":
                raise Refused(credential.error or "the account's credential has expired")
            if credential.wait is not None and credential.wait > 0:
                why = credential.error or "the last refresh failed"
                raise Unavailable(f"{why}; GitLab is asked again later", min(credential.wait, LONGEST_WAIT))
            if self._stopping:
                raise Unavailable("the node stops")
            if not credential.being_refreshed:
                names = {"account": account, "node": self._node, "generation": credential.generation}
                rows = await self._database.query(sql("begin_refresh"), {**names, "claim": CLAIM})
                if rows:
                    return await self._exchange(names, credential.failures, *rows[0])
            await deferLater(self._reactor, POLL)
        raise Unavailable("another node's refresh of this account takes too long")

    async def _exchange(
        self, names: Mapping[str, Any], failures: int, gitlab_url: str, refresh_token: str | None
    ) -> Granted:
        """Have GitLab exchange *refresh_token*, and store what comes of it, however long the database is away."""
        try:
            if refresh_token is None:
                raise Refused("no refresh token")
            pair = await self._grant.refresh(gitlab_url, self.reveal(refresh_token))
        except CancelledError:
            self.log.error(
                "The node stops and GitLab has not answered: a new token of account {account} may be lost", **names
            )
            raise
        except Refused as refusal:
            self.log.warn("No new token for account {account}: {why}", why=refusal, **names)
            await self._store("refuse_refresh", {**names, "error": str(refusal)})
            self._telling.tell(TokenRefreshed(names["account"], "refused"))
            raise
        except Exception as error:
            if not isinstance(error, Unavailable | VaultError | DatabaseAway):
                self.log.failure("The refresh of account {account} failed", **names)
            why = str(error) if isinstance(error, Unavailable | VaultError) else type(error).__name__
            raise await self._failed(names, failures, why, getattr(error, "retry_after", None)) from None
        return await self._keep(pair, names, failures)

    async def _failed(
        self, names: Mapping[str, Any], failures: int, why: str, retry_after: float | None = None
    ) -> Unavailable:
        """Put down that there is no new token for now; the exception to raise."""
        self.log.warn("No new token for account {account} for now: {why}", why=why, **names)
        wait = full_jitter(failures, BACK_OFF, LONGEST_BACK_OFF, self._jitter())
        wait = max(wait, min(retry_after or 0.0, LONGEST_WAIT))
        await self._store("put_off_refresh", {**names, "error": why, "wait": wait})
        self._telling.tell(TokenRefreshed(names["account"], "failed"))
        return Unavailable(why, wait)

    async def _keep(self, pair: Pair, names: Mapping[str, Any], failures: int) -> Granted:
        """Store *pair*: GitLab has revoked the old one, this is all there is."""
        parameters = {
            **names,
            "access": self._vault.encrypt(pair.access_token),
            "refresh": pair.refresh_token and self._vault.encrypt(pair.refresh_token),
            "lifetime": pair.lifetime,
        }
        try:
            rows = await self._store("store_refreshed", parameters)
        except CancelledError:
            self.log.error("The node stops, and a new token of account {account} could not be stored", **names)
            raise
        except DATABASE_ERRORS as error:  # its text would quote the row
            self.log.error("PostgreSQL refuses a new token ({code})", code=sqlstate(error))
            raise await self._failed(names, failures, "the database refuses the new token") from None
        self._telling.tell(TokenRefreshed(names["account"], "refreshed"))
        if not rows:  # renewed by hand meanwhile, or stored by the attempt that looked lost
            credential = await self._credential(names["account"])
            return Granted(self.reveal(credential.access_token), credential.expires_at)
        return Granted(pair.access_token, rows[0][0])

    async def _store(self, statement: str, parameters: Mapping[str, Any]) -> list[Row]:
        """Run *statement*, however long the database is away. Raises what PostgreSQL says of the data."""
        while True:
            try:
                return await self._database.query(sql(statement), parameters)
            except DATABASE_ERRORS as error:
                if remedy(error) is Remedy.REFUSE:
                    raise
                # Its text may quote the row.
                self.log.emit(
                    level(error, LogLevel.error),
                    "What a refresh brought can't be stored yet: {error}",
                    error=type(error).__name__,
                )
                await deferLater(self._reactor, STORE_AGAIN)
