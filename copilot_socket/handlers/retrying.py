"""Database operations that must succeed, since what is known of a crawler depends on them: they are repeated."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel

from copilot_socket.core.retry import DATABASE_RETRY
from copilot_socket.store.faults import DATABASE_ERRORS, Remedy, remedy
from copilot_socket.store.outage import level

T = TypeVar("T")

_log = Logger()


async def until_done(
    what: str, work: Callable[[], Awaitable[T]], reactor: IReactorTime, given_up: Callable[[], bool]
) -> T:
    """The result of *work*, which is repeated while the database fails.

    Raises its exception when PostgreSQL refuses the data, and once *given_up* returns True. *what* names it in the
    log, as the subject of a sentence.
    """
    while True:
        try:
            return await work()
        except DATABASE_ERRORS as error:
            if remedy(error) is Remedy.REFUSE or given_up():
                raise
            how_bad = level(error, LogLevel.warn)
            _log.emit(how_bad, "{what} failed; it is retried: {error}", what=what, error=error)
        await deferLater(reactor, DATABASE_RETRY)
