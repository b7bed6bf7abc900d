"""Whether this node can work with its database: asked every second, over a connection of its own.

A database that is read-only or a standby answers, and one whose disk is full refuses only writes. So the probe looks
at the session's state and at the rights, and now and then writes to a page that is not there yet.
"""

from collections.abc import Callable
from contextlib import suppress

import psycopg2
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from copilot_socket.core.causes import Cause
from copilot_socket.core.vault import ENCRYPTED, Vault
from copilot_socket.store.connection import Connection, Limits, Transaction
from copilot_socket.store.faults import DatabaseAway
from copilot_socket.store.outage import Outages, Unfit, cause_of
from copilot_socket.store.rights import FORBIDDEN, MISSING, NEEDED

PATIENCE = 3.0
"""Seconds after which a database counts as one that does not answer."""
WRITE_EVERY = 4
"""Looks between two writes. While something is wrong each look writes."""
ACCOUNTS = 10
"""Accounts whose tokens are tried at each look; those of all are tried in turns."""
KEPT = 100
"""Accounts whose tokens can't be decrypted that are tried again at each look."""

_IMPATIENT = "SET LOCAL statement_timeout = %(patience)s; "
"""For this transaction only: a pooler may give the session to others."""

STATE = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::bool"

# One row a page. Where autovacuum is off nobody gives the pages back, so there is an end to them.
WRITE = """
INSERT INTO write_probe (payload) SELECT repeat('x', 8000) WHERE pg_relation_size('write_probe') < 64 * 1024 * 1024
"""

_TOKENS = """
(SELECT false, id, access_token, refresh_token FROM accounts
 WHERE credential_status = 'valid' AND id = ANY (%(again)s))
UNION ALL
(SELECT true, id, access_token, refresh_token FROM accounts
 WHERE credential_status = 'valid' AND id > %(after)s ORDER BY id LIMIT %(limit)s)
"""


class _Undo(Exception):
    """Ends a transaction that must leave no trace."""


class Probe:
    """Asks the database at *dsn* what a node needs of it. ``cause`` is what is wrong with it, None if nothing is."""

    log = Logger()

    def __init__(self, dsn: str, vault: Vault, outages: Outages, reactor: IReactorTime, limits: Limits) -> None:
        self._connection = Connection(dsn, reactor, limits)
        self._outages = outages
        self._reactor = reactor
        self._keys = _Keys(vault)
        self._looks = 0
        self._closed = False
        self.cause: Cause | None = None
        self.latency: float | None = None
        """Seconds that the first answer took at the last look; None: there was none."""

    async def look(self) -> None:
        """Find out how things are now. Takes little more than :data:`PATIENCE`, whatever the database does."""
        in_doubt = self.cause not in (None, Cause.SECRET_KEY)
        thorough = in_doubt or self._looks % WRITE_EVERY == 0
        self._looks += 1
        late = self._reactor.callLater(PATIENCE, self._connection.close)
        answered: list[float] = []
        try:
            with suppress(_Undo):
                await self._connection.transaction(lambda tx: self._look(tx, thorough, answered))
        except (DatabaseAway, psycopg2.Error, Unfit) as error:
            self._failed(error if late.active() else Unfit(Cause.NO_ANSWER, f"no answer within {PATIENCE:g} s"))
        else:
            self._outages.worked()
            self.cause = Cause.SECRET_KEY if self._keys.wrong else None
        finally:
            self.latency = answered[0] if answered else None
            if late.active():
                late.cancel()

    async def _look(self, tx: Transaction, thorough: bool, answered: list[float]) -> None:
        """Ask all that there is to ask; *answered* is given the seconds that the first answer took. Always raises."""
        begun = self._reactor.seconds()
        [(recovering, read_only)] = await tx.query(_IMPATIENT + STATE, {"patience": int(PATIENCE * 1000)})
        answered.append(self._reactor.seconds() - begun)
        if recovering:
            raise Unfit(Cause.STANDBY, "pg_is_in_recovery() is true")
        if read_only:
            raise Unfit(Cause.READ_ONLY, "transaction_read_only is on")
        if thorough:
            for statement, cause in ((MISSING, Cause.TABLES), (FORBIDDEN, Cause.RIGHTS)):
                names = [str(row[0]) for row in await tx.query(statement, NEEDED)]
                if names:
                    raise Unfit(cause, ", ".join(names))
            await tx.query(WRITE)
        self._keys.tried(await tx.query(_TOKENS, self._keys.next), self._undecryptable)
        raise _Undo

    def close(self) -> None:
        """Close the connection; what is under way fails, and nobody is told."""
        self._closed = True
        self._connection.close()

    @property
    def answers(self) -> bool:
        """Whether the database answered at the last look."""
        return self.latency is not None

    def _failed(self, error: Exception) -> None:
        cause = cause_of(error)
        if cause is None:  # such as a statement that took too long
            cause = Cause.NO_ANSWER if getattr(error, "pgcode", None) == "57014" else Cause.REFUSES
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


class _Keys:
    """Tries whether the keys of this node decrypt the tokens of all accounts, some at a time."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._after = ""
        self._failing: set[str] = set()
        self._fit = False

    @property
    def wrong(self) -> bool:
        """Whether they have not decrypted a single one. A few accounts that were stored elsewhere stop no node."""
        return bool(self._failing) and not self._fit

    @property
    def next(self) -> dict[str, object]:
        """Which accounts to try: parameters of :data:`_TOKENS`."""
        return {"again": list(self._failing), "after": self._after, "limit": ACCOUNTS}

    def tried(self, rows: list[tuple[bool, str, str, str | None]], failed: Callable[[str], None]) -> None:
        """Try the tokens in *rows*; *failed* is told each account whose tokens can't be decrypted any more."""
        forward = [account for later, account, *_ in rows if later]
        self._after = forward[-1] if len(forward) == ACCOUNTS else ""
        before, self._failing = self._failing, set()
        for _, account, *tokens in rows:
            encrypted = [token for token in tokens if token is not None and token.startswith(ENCRYPTED)]
            if all(map(self._vault.opens, encrypted)):
                self._fit = self._fit or bool(encrypted)
            elif account not in self._failing and len(self._failing) < KEPT:
                self._failing.add(account)
                if account not in before:
                    failed(account)
