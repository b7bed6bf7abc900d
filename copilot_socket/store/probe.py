"""The probe of the database: finds out every second, over its own connection, whether a node can work with it.

A read-only database and a standby answer queries, and one whose disk is full refuses only writes. So the probe reads
the state of the session and the rights, and now and then writes a row that needs a new page.
"""

from collections.abc import Callable
from contextlib import suppress

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from copilot_socket.core.readiness import Unready
from copilot_socket.core.vault import ENCRYPTED, Vault, access_token, refresh_token
from copilot_socket.store.connection import Connection, Limits, Transaction
from copilot_socket.store.faults import DATABASE_ERRORS, sqlstate
from copilot_socket.store.outage import Outages, Unfit, cause_of
from copilot_socket.store.rights import FORBIDDEN, MISSING, NEEDED

PATIENCE = 3.0
"""Seconds after which a database counts as not answering."""
WRITE_EVERY = 4
"""Every how many looks the probe writes; while something is wrong, at each look."""
ACCOUNTS = 10
"""Accounts whose tokens are decrypted at each look, in turn."""
KEPT = 100
"""Accounts with tokens that can't be decrypted, at most, that are tried again at each look."""

_FAILURES: tuple[type[Exception], ...] = (*DATABASE_ERRORS, Unfit)

_IMPATIENT = "SET LOCAL statement_timeout = %(patience)s; "
"""For this transaction only: behind a pooler others may use the session."""

STATE = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::bool"

# One row per page. The table is bounded, since nothing frees its pages where autovacuum is off.
WRITE = """
INSERT INTO write_probe (payload) SELECT repeat('x', 8000) WHERE pg_relation_size('write_probe') < 64 * 1024 * 1024
"""

_TOKENS = """
(SELECT false, id, gitlab_url, access_token, refresh_token FROM accounts
 WHERE credential_status = 'valid' AND id = ANY (%(again)s))
UNION ALL
(SELECT true, id, gitlab_url, access_token, refresh_token FROM accounts
 WHERE credential_status = 'valid' AND id > %(after)s ORDER BY id LIMIT %(limit)s)
"""


class _Undo(Exception):
    """Rolls back the transaction of a look."""


class Probe:
    """Probes the database at *dsn*. ``cause`` is the reason why a node can't work with it, None if it can."""

    log = Logger()

    def __init__(self, dsn: str, vault: Vault, outages: Outages, reactor: IReactorTime, limits: Limits) -> None:
        self._connection = Connection(dsn, reactor, limits)
        self._outages = outages
        self._reactor = reactor
        self._keys = _Keys(vault)
        self._looks = 0
        self._closed = False
        self.cause: Unready | None = None
        self.latency: float | None = None
        """Seconds until the first answer at the last look; None: there was none."""

    async def look(self) -> None:
        """Set ``cause`` and ``latency``. Takes little more than :data:`PATIENCE` seconds in any case."""
        unfit = self.cause not in (None, Unready.SECRET_KEY)
        thorough = unfit or self._looks % WRITE_EVERY == 0
        self._looks += 1
        late = self._reactor.callLater(PATIENCE, self._connection.close)
        answered: list[float] = []
        try:
            with suppress(_Undo):
                await self._connection.transaction(lambda tx: self._look(tx, thorough, answered))
        except _FAILURES as error:
            self._failed(error if late.active() else Unfit(Unready.NO_ANSWER, f"no answer within {PATIENCE:g} s"))
        else:
            self._outages.worked()
            self.cause = Unready.SECRET_KEY if self._keys.wrong else None
        finally:
            self.latency = answered[0] if answered else None
            if late.active():
                late.cancel()

    async def _look(self, tx: Transaction, thorough: bool, answered: list[float]) -> None:
        """Run all checks, and append the seconds until the first answer to *answered*. Always raises."""
        begun = self._reactor.seconds()
        [(recovering, read_only)] = await tx.query(_IMPATIENT + STATE, {"patience": int(PATIENCE * 1000)})
        answered.append(self._reactor.seconds() - begun)
        if recovering:
            raise Unfit(Unready.STANDBY, "pg_is_in_recovery() is true")
        if read_only:
            raise Unfit(Unready.READ_ONLY, "transaction_read_only is on")
        if thorough:
            for statement, cause in ((MISSING, Unready.TABLES), (FORBIDDEN, Unready.RIGHTS)):
                names = [str(row[0]) for row in await tx.query(statement, NEEDED)]
                if names:
                    raise Unfit(cause, ", ".join(names))
            await tx.query(WRITE)
        self._keys.tried(await tx.query(_TOKENS, self._keys.next), self._undecryptable)
        raise _Undo

    def close(self) -> None:
        """Close the connection; a look in progress fails, which is not logged."""
        self._closed = True
        self._connection.close()

    @property
    def answers(self) -> bool:
        """Whether the database answered at the last look."""
        return self.latency is not None

    def _failed(self, error: Exception) -> None:
        cause = cause_of(error)
        if cause is None:  # for example a statement time-out (57014)
            cause = Unready.NO_ANSWER if sqlstate(error) == "57014" else Unready.REFUSES
            error = Unfit(cause, str(error))
        self.cause = cause
        if not self._closed:
            self._outages.failed(error)

    def _undecryptable(self, account: str) -> None:
        self.log.error(
            "COPILOT_SECRET_KEY does not decrypt the stored tokens of account {account}: set the key that they were "
            "encrypted with, or renew the account's credential",
            account=account,
        )


def opened_tokens(vault: Vault, account: str, url: str, access: str, refresh: str | None) -> list[bool]:
    """Whether *vault* decrypts them, for each of the two tokens of an account that is encrypted."""
    places = (access, access_token(account, url)), (refresh, refresh_token(account, url))
    return [vault.opens(token, place) for token, place in places if token is not None and token.startswith(ENCRYPTED)]


class _Keys:
    """Checks whether the keys of this node decrypt the tokens of all accounts, some accounts at a time."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._after = ""
        self._failing: set[str] = set()
        self._fit = False

    @property
    def wrong(self) -> bool:
        """Whether they have decrypted no token at all. Single accounts that were encrypted elsewhere stop no node."""
        return bool(self._failing) and not self._fit

    @property
    def next(self) -> dict[str, object]:
        """The accounts to check next: parameters of :data:`_TOKENS`."""
        return {"again": list(self._failing), "after": self._after, "limit": ACCOUNTS}

    def tried(self, rows: list[tuple[bool, str, str, str, str | None]], failed: Callable[[str], None]) -> None:
        """Decrypt the tokens in *rows*; call *failed* with each account whose tokens newly fail to decrypt."""
        forward = [account for later, account, *_ in rows if later]
        self._after = forward[-1] if len(forward) == ACCOUNTS else ""
        before, self._failing = self._failing, set()
        for _, account, url, access, refresh in rows:
            opened = opened_tokens(self._vault, account, url, access, refresh)
            if all(opened):
                self._fit = self._fit or bool(opened)
            elif account not in self._failing and len(self._failing) < KEPT:
                self._failing.add(account)
                if account not in before:
                    failed(account)
