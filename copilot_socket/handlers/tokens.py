"""GitLab tokens: valid ones for jobs about to be sent, new ones for crawlers whose token has expired.

One refresh at a time per account, across all nodes; a new pair is committed before it is used. GitLab revokes the old
pair when it issues a new one, and the new one if the old is used once more: so an exchange that has begun always
completes and its pair is stored, even if all waiters have timed out, and no second one begins meanwhile.
"""

import contextlib
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredList, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.core.retry import full_jitter
from copilot_socket.core.vault import Place, VaultError, refresh_token
from copilot_socket.event_bus import EventBus, TokenRefreshed
from copilot_socket.handlers.oauth import Grant, Pair, Refused, Unavailable
from copilot_socket.store.credentials import LEASE, MIN_LIFETIME, Credentials, PairRefused, Refresh, StoredToken
from copilot_socket.store.faults import DATABASE_ERRORS, DatabaseAway
from copilot_socket.store.turns import Claimed

__all__ = ["Granted", "Refused", "Tokens", "Unavailable"]

T = TypeVar("T")

ANSWER_WITHIN = 12.0
"""Seconds that a caller waits for a token."""
_LATE: tuple[type[Exception], ...] = (TimeoutError, *DATABASE_ERRORS)
ASSUMED_LIFETIME = 7200.0
"""Seconds; GitLab's default, for tokens whose expiry is not known."""
BACK_OFF = 2.0
LONGEST_BACK_OFF = 300.0
"""Seconds, with full jitter, before the next refresh of an account after a failed one."""
LONGEST_WAIT = 600.0
"""The longest ``Retry-After`` of GitLab that is respected, in seconds."""
POLL = 0.2
"""Seconds between reads of an account that another node is refreshing."""


@attrs.frozen
class Granted:
    """A token for a crawler; ``expires_at`` in seconds since the epoch, None if not known."""

    access_token: str = attrs.field(repr=False)
    expires_at: float | None


@attrs.frozen
class _Flight:
    """A refresh of *account*, whose current token has the number *generation*."""

    account: str
    generation: int


class Tokens:
    """Tokens of accounts, refreshed before they expire or when a crawler's token was refused."""

    log = Logger()

    def __init__(
        self,
        credentials: Credentials,
        grant: Grant,
        reactor: IReactorTime,
        bus: EventBus,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._credentials = credentials
        self._grant = grant
        self._reactor = reactor
        self._bus = bus
        self._jitter = jitter
        self._waiting: dict[_Flight, list[Deferred[Granted]]] = {}
        self._under_way: set[Deferred[None]] = set()
        self._stopping = False

    def reveal(self, stored: str, place: Place) -> str:
        """The token stored as *stored* in *place*. Raises :class:`VaultError` if no key decrypts it there."""
        return self._credentials.reveal(stored, place)

    def reveal_or_nothing(self, stored: str, place: Place) -> str:
        """The same; an empty string if no key decrypts it."""
        try:
            return self.reveal(stored, place)
        except VaultError:
            return ""

    def good(self, job: Claimed) -> bool:
        """Whether *job* can be sent with its account's current token."""
        return job.credential_status == "valid" and (job.expires_in is None or job.expires_in > MIN_LIFETIME)

    async def fresh(self, account: str) -> str:
        """A token of *account* that does not expire soon. Raises :class:`Refused` or :class:`Unavailable`."""
        return await self._in_time(self._fresh(account))

    async def for_assignment(self, assignment: str, crawler: str) -> Granted:
        """A token newer than the one that *crawler* was given for *assignment*.

        Raises :class:`Refused` (also for assignments that are not this crawler's) or :class:`Unavailable`.
        """
        return await self._in_time(self._for_assignment(assignment, crawler))

    async def handed(self, *assignments: str) -> list[str]:
        """Store that *assignments* get their accounts' current tokens; those assignments that are still live."""
        return await self._credentials.handed(*assignments)

    async def stop(self, limit: float) -> None:
        """Begin no more refreshes; wait up to *limit* seconds until those under way have stored their pairs."""
        self._stopping = True
        for flight in list(self._waiting):
            self._land(flight, Failure(Unavailable("the node is stopping")))
        if self._under_way:
            self.log.info("Waiting for {count} token refreshes", count=len(self._under_way))
            with contextlib.suppress(TimeoutError):
                await DeferredList(list(self._under_way)).addTimeout(limit, self._reactor)

    async def _in_time(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        """The result of *work*. Raises :class:`Refused` or :class:`Unavailable`, the latter also when late."""
        try:
            return await Deferred.fromCoroutine(work).addTimeout(ANSWER_WITHIN, self._reactor)
        except (Refused, Unavailable):
            raise
        except VaultError as error:
            raise Unavailable(str(error)) from None
        except _LATE as error:
            raise Unavailable(f"no token in time: {type(error).__name__}") from None
        except Exception:
            self.log.failure("Getting a token failed")
            raise Unavailable("the server failed; its log has the details") from None

    async def _fresh(self, account: str) -> str:
        stored = await self._stored(account)
        if stored.status == "valid" and (stored.lives() or stored.just_refreshed()):
            return self.reveal(stored.sealed, stored.place)
        return (await self._refresh(account, stored.generation)).access_token

    async def _for_assignment(self, assignment: str, crawler: str) -> Granted:
        holding = await self._credentials.holding(assignment)
        if holding is None:
            raise Refused("no such assignment")
        if holding.crawler != crawler and holding.present:
            raise Refused("another crawler's assignment")
        stored = await self._stored(holding.account)
        try:
            if stored.generation > holding.generation and stored.lives():
                granted = self._granted(stored)
            else:
                granted = await self._refresh(holding.account, stored.generation)
        except Refused:
            await self._credentials.refused(assignment)
            raise
        await self._credentials.handed(assignment)
        return granted

    async def _stored(self, account: str) -> StoredToken:
        try:
            stored = await self._credentials.token(account)
        except DATABASE_ERRORS as error:
            raise Unavailable("the database is away") from error
        if stored is None:
            raise Refused("no such account")
        return stored

    def _granted(self, stored: StoredToken) -> Granted:
        return Granted(self.reveal(stored.sealed, stored.place), stored.expires_at)

    # -- one refresh at a time

    def _refresh(self, account: str, generation: int) -> "Deferred[Granted]":
        """A newer token than *generation*, the account's as just read: join its refresh, or begin one."""
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
        """*waiter* was cancelled; the refresh continues."""
        waiting = self._waiting.get(flight, [])
        if waiter in waiting:
            waiting.remove(waiter)

    def _land(self, flight: "_Flight", result: Any) -> None:
        for waiter in self._waiting.pop(flight, []):
            waiter.callback(result)

    async def _fly(self, flight: "_Flight") -> Granted:
        """Refresh the account, or wait for the node that is doing so."""
        account, give_up = flight.account, self._reactor.seconds() + LEASE
        while self._reactor.seconds() < give_up:
            stored = await self._stored(account)
            if stored.generation > flight.generation and stored.lives():
                return self._granted(stored)
            if stored.status != "valid":
                raise Refused(stored.error or "the account's credential has expired")
            if stored.wait is not None and stored.wait > 0:
                why = stored.error or "the last refresh failed"
                raise Unavailable(f"{why}; the refresh is retried later", min(stored.wait, LONGEST_WAIT))
            if self._stopping:
                raise Unavailable("the node is stopping")
            if not stored.being_refreshed:
                refresh = await self._credentials.begin(account, stored.generation)
                if refresh is not None:
                    return await self._exchange(refresh, stored.failures)
            await deferLater(self._reactor, POLL)
        raise Unavailable("another node's refresh of this account takes too long")

    async def _exchange(self, refresh: Refresh, failures: int) -> Granted:
        """Exchange the refresh token at GitLab and store the result, however long the database is unavailable."""
        account = refresh.account
        try:
            if refresh.sealed is None:
                raise Refused("no refresh token")
            token = self.reveal(refresh.sealed, refresh_token(account, refresh.gitlab_url))
            pair = await self._grant.refresh(refresh.gitlab_url, token)
        except CancelledError:
            self.log.error(
                "The node stops before GitLab has answered: a new token of account {account} may be lost",
                account=account,
            )
            raise
        except Refused as refusal:
            self.log.warn("No new token for account {account}: {why}", account=account, why=refusal)
            await self._credentials.refuse(refresh, str(refusal))
            self._bus.publish(TokenRefreshed(account, "refused"))
            raise
        except Exception as error:
            if not isinstance(error, Unavailable | VaultError | DatabaseAway):
                self.log.failure("The refresh of account {account} failed", account=account)
            why = str(error) if isinstance(error, Unavailable | VaultError) else type(error).__name__
            raise await self._failed(refresh, failures, why, getattr(error, "retry_after", None)) from None
        return await self._keep(refresh, pair, failures)

    async def _failed(
        self, refresh: Refresh, failures: int, why: str, retry_after: float | None = None
    ) -> Unavailable:
        """Store that the refresh failed; return the exception to raise."""
        self.log.warn("No new token for account {account} for now: {why}", account=refresh.account, why=why)
        wait = full_jitter(failures, BACK_OFF, LONGEST_BACK_OFF, self._jitter())
        wait = max(wait, min(retry_after or 0.0, LONGEST_WAIT))
        await self._credentials.put_off(refresh, why, wait)
        self._bus.publish(TokenRefreshed(refresh.account, "failed"))
        return Unavailable(why, wait)

    async def _keep(self, refresh: Refresh, pair: Pair, failures: int) -> Granted:
        """Store *pair*, the only valid one: GitLab has revoked the old pair."""
        account = refresh.account
        try:
            rows = await self._credentials.keep(refresh, pair.access_token, pair.refresh_token, pair.lifetime)
        except CancelledError:
            self.log.error(
                "The node stops before a new token of account {account} is stored: it is lost", account=account
            )
            raise
        except PairRefused as refusal:
            self.log.error("PostgreSQL refuses a new token ({code})", code=refusal)
            raise await self._failed(refresh, failures, "the database refuses the new token") from None
        self._bus.publish(TokenRefreshed(account, "refreshed"))
        if not rows:  # renewed by hand meanwhile, or stored by a commit with an unknown outcome
            return self._granted(await self._stored(account))
        return Granted(pair.access_token, rows[0][0])
