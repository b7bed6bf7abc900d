"""Keeps the tokens and sessions that a node accepts in line with the database."""

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from copilot_socket.core.access import Grant, TokenBook
from copilot_socket.store.access import AccessStore
from copilot_socket.store.faults import DATABASE_ERRORS

CHANNEL = "copilot_access"
"""The channel that a trigger notifies when tokens or sessions change."""
LOOK = 10.0
"""Seconds between reads of what a notification may have missed, and writes of which tokens were used."""


class Access:
    """The tokens of the configuration and of the database. In an outage those last read go on to be accepted."""

    log = Logger()

    def __init__(self, configured: str | None, store: AccessStore, reactor: IReactorTime) -> None:
        self.book = TokenBook(configured)
        self.store = store
        self._reactor = reactor
        self._lock = DeferredLock()  # an older result must not replace a newer one

    def changed(self, _payload: str = "") -> None:
        """Read again: tokens or sessions have changed, or may have."""
        d = Deferred.fromCoroutine(self.read())
        d.addErrback(lambda failure: failure.trap(*DATABASE_ERRORS))  # the next look reads them
        d.addErrback(lambda failure: self.log.failure("Reading the tokens of the HTTP API failed", failure))

    def accepts(self, token: str) -> bool:
        """Whether *token* is in force."""
        return self.book.find(token, self._reactor.seconds()) is not None

    def token_of(self, grant: Grant, token: str | None, session: str | None) -> bytes | None:
        """See :meth:`.TokenBook.token_of`."""
        return self.book.token_of(grant, token, session, self._reactor.seconds())

    async def read(self) -> None:
        """Read all tokens, sessions and links. Raises the database's errors."""
        await self._lock.acquire()
        try:
            self.book.replace(*await self.store.read(self._reactor.seconds()))
        finally:
            self._lock.release()

    async def look(self) -> None:
        """Read again what a notification may have missed, and record which tokens were used."""
        await self.read()
        used = self.book.take_used()
        try:
            await self.store.note_uses(used)
        except BaseException:
            self.book.put_back(used)
            raise
