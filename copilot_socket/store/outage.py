"""The cause of an outage, derived from an error, and the log lines about outages: few, however long one lasts."""

from collections.abc import Iterator
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from copilot_socket.core.readiness import Unready
from copilot_socket.store.faults import connection_error, sqlstate
from copilot_socket.store.tls import REMEDIES

REPEAT = 60.0
"""Seconds before the same cause is logged again."""
QUIET = 3.0
"""Seconds without a failure after which an outage is over. While a disk is full, reads work and writes fail."""

_BY_CODE = {
    "25006": Unready.READ_ONLY,
    "42501": Unready.RIGHTS,
    "42P01": Unready.TABLES,
    "42703": Unready.TABLES,
    "42883": Unready.TABLES,
    "53100": Unready.DISK_FULL,
    "53300": Unready.CONNECTIONS,
    "57P03": Unready.STARTING,
}
_BY_CLASS = {
    "08": Unready.UNREACHABLE,
    "28": Unready.LOGIN,
    "3D": Unready.LOGIN,
    "3F": Unready.TABLES,
    "53": Unready.RESOURCES,
    "58": Unready.RESOURCES,
}
"""SQLSTATEs and their classes (PostgreSQL manual, appendix A) that report a state of the database."""

_BY_WORDS = (
    ("the database system is", Unready.STARTING),
    ("in a read-only transaction", Unready.READ_ONLY),
    ("session is read-only", Unready.READ_ONLY),
    ("server is in hot standby mode", Unready.STANDBY),
    ("during recovery", Unready.STANDBY),
    ("No space left on device", Unready.DISK_FULL),
    ("connection slots", Unready.CONNECTIONS),
    ("too many connections", Unready.CONNECTIONS),
    ("too many clients", Unready.CONNECTIONS),
    *((words, Unready.TLS) for words in REMEDIES),
    ("authentication failed", Unready.LOGIN),
    ("no password supplied", Unready.LOGIN),
    ("pg_hba.conf", Unready.LOGIN),
    ("permission denied for database", Unready.LOGIN),
    ("not permitted to log in", Unready.LOGIN),
    ("not currently accepting connections", Unready.LOGIN),
    ("does not exist", Unready.LOGIN),
    ("no answer", Unready.NO_ANSWER),
)
"""Texts of libpq and the server: the errors of a connection that can't be made have no SQLSTATE."""


class Unfit(Exception):
    """The database answers, but a node can't work with it; the message holds the details for the log."""

    def __init__(self, cause: Unready, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause


def cause_of(error: BaseException | None) -> Unready | None:
    """The state of the database that causes *error*; None for a fault of a statement or of its data."""
    for each in _chain(error):
        if isinstance(each, Unfit):
            return each.cause
        code = sqlstate(each) or ""
        cause = _BY_CODE.get(code) or _BY_CLASS.get(code[:2])
        if cause is not None:
            return cause
    if connection_error(error):
        text = str(error)
        return next((cause for words, cause in _BY_WORDS if words in text), Unready.UNREACHABLE)
    return None


def is_outage(error: BaseException | None) -> bool:
    """Whether *error* is due to an outage, which :class:`Outages` logs once for all users of the database.

    Missing tables and rights do not count: they may be a fault of a single statement, which only its caller logs.
    """
    return cause_of(error) not in (None, Unready.TABLES, Unready.RIGHTS)


def level(error: BaseException, otherwise: Any) -> Any:
    """The ``LogLevel`` at which the caller logs *error*: debug where it is due to an outage, else *otherwise*."""
    return LogLevel.debug if is_outage(error) else otherwise


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """*error* and the errors that it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__


class Outages:
    """Receives each failure and success of the database, and logs its outages.

    The first failure of a cause is logged immediately, the same cause at most once a minute, with the number of
    failures in between; then the end of the outage.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._since: float | None = None
        self._failed_at = 0.0
        self._worked_at: float | None = None
        self._logged = False
        self._due: dict[Unready, float] = {}
        self._unlogged: dict[Unready, int] = {}

    def failed(self, error: BaseException) -> None:
        """Record *error*. One without a cause (:func:`cause_of`) is ignored."""
        cause = cause_of(error)
        if cause is None:
            return
        now = self._clock.seconds()
        self._failed_at, self._worked_at = now, None
        if self._since is None:
            self._since, self._logged = now, False
        if now < self._due.get(cause, now):
            self._unlogged[cause] = self._unlogged.get(cause, 0) + 1
            return
        count = self._unlogged.pop(cause, 0)
        self._due[cause] = now + REPEAT
        self._logged = True
        self.log.error(
            "{what}: {error}" + (" ({count} more like it)" if count else ""),
            what=cause.sentence[0].upper() + cause.sentence[1:],
            cause=cause.label,
            error=error,
            count=count,
            log_limited=True,  # see logs/limiter.py
        )

    def worked(self) -> None:
        """Record a success; an outage ends after :data:`QUIET` seconds without a failure."""
        if self._since is None:
            return
        now = self._clock.seconds()
        if self._worked_at is None:
            self._worked_at = now
        if now - self._failed_at >= QUIET:
            if self._logged:
                self.log.info("The database is back after {seconds:.1f} s", seconds=self._worked_at - self._since)
            self._since = None
