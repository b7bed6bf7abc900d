"""Attempts to connect."""

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError as Unreachable
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from copilot_socket.client.connecting import Connecting


@implementer(IStreamClientEndpoint)
class Endpoint:
    """Connects, or not."""

    reachable = True

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        """Do as the test says."""
        return succeed(Protocol()) if self.reachable else fail(Unreachable("nobody is there"))


class ConnectingTests(SynchronousTestCase):
    """Delays and log lines."""

    def setUp(self) -> None:
        self.endpoint = Endpoint()
        self.connecting = Connecting(self.endpoint, float)

    def test_delays_grow_until_the_welcome(self) -> None:
        """A connection that is made, and ends before the welcome, is an attempt in vain, whatever else counts it."""
        self.successResultOf(self.connecting.connect(Factory()))
        self.assertEqual([self.connecting.delay(1) for _ in range(3)], [1.0, 2.0, 3.0])
        self.connecting.welcomed()
        self.assertEqual(self.connecting.delay(7), 1.0)

    def test_failures_are_logged(self) -> None:
        """With the reason; the failure goes on to who waits for the connection."""
        lines: list[str] = []
        observer = lambda event: lines.append(str(event.get("error")))  # noqa: E731 - as it is added and removed
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.endpoint.reachable = False
        self.failureResultOf(self.connecting.connect(Factory()), Unreachable)
        self.assertIn("nobody is there", lines[-1])
