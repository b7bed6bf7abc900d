"""Attempts to connect: why they fail, and how long to wait after each."""

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IStreamClientEndpoint)
class Connecting:
    """Connects by *endpoint*, and logs why an attempt fails.

    *backoff* takes the number of attempts without a ``welcome``: over TLS, and where ``hello`` is refused,
    connections are made that end at once.
    """

    log = Logger()

    def __init__(self, endpoint: IStreamClientEndpoint, backoff: Callable[[int], float]) -> None:
        self._endpoint = endpoint
        self._backoff = backoff
        self._in_vain = 0

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        """See :class:`twisted.internet.interfaces.IStreamClientEndpoint`."""
        connected: Deferred[IProtocol] = self._endpoint.connect(protocolFactory)
        return connected.addErrback(self._failed)

    def delay(self, _attempts: int) -> float:
        """Seconds until the next attempt."""
        self._in_vain += 1
        return self._backoff(self._in_vain)

    def welcomed(self) -> None:
        """The server has accepted the crawler."""
        self._in_vain = 0

    def _failed(self, failure: Failure) -> Failure:
        if failure.check(CancelledError) is None:
            self.log.warn("Can't connect: {error}", error=failure.getErrorMessage())
        return failure
