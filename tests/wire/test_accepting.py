"""Listening sockets while the system has no room for connections."""

import errno
import socket
from typing import Any
from unittest import mock

from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from copilot_socket.wire.accepting import RETRY_DELAY, Accepting
from copilot_socket.wire.listening import listen
from tests.wire.test_listening import short_directory


class Failing:
    """A socket whose accept() fails with one error after the other, and then finds nothing."""

    def __init__(self, *errors: OSError) -> None:
        self._errors = list(errors)
        self.calls = 0

    def accept(self) -> Any:
        """Fail."""
        self.calls += 1
        raise self._errors.pop(0) if self._errors else BlockingIOError


class Port(Accepting):
    """A port without Twisted's part of it."""

    connected, disconnecting = True, False

    def __init__(self, clock: Clock, listening: Failing) -> None:
        self.reactor = clock
        self.socket = listening
        self.reading = [True]
        self.said: list[str] = []
        self.log = mock.Mock(error=lambda *_, **fields: self.said.append(fields["error"]))

    def startReading(self) -> None:
        """Note it."""
        self.reading.append(True)

    def stopReading(self) -> None:
        """Note it."""
        self.reading.append(False)


class BackOffTests(SynchronousTestCase):
    """accept() fails."""

    def test_backs_off(self) -> None:
        """Whatever resource is short, there is one attempt each half second, and one log line a minute."""
        clock = Clock()
        shortages = [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS]
        listening = Failing(*(OSError(number, "short") for number in shortages * 40))
        port = Port(clock, listening)
        for _ in range(150):
            port.doRead()
            self.assertFalse(port.reading[-1])
            clock.advance(RETRY_DELAY)
            self.assertTrue(port.reading[-1])
        self.assertEqual((listening.calls, port.said), (150, ["short"] * 2))

    def test_aborted(self) -> None:
        """A connection that was aborted, or refused by a packet filter, does not delay those behind it."""
        listening = Failing(ConnectionAbortedError(), PermissionError())
        port = Port(Clock(), listening)
        port.doRead()
        self.assertEqual((listening.calls, port.reading), (3, [True]))


class ShortageTests(TestCase):
    """A real port, once out of descriptors."""

    timeout = 120

    def setUp(self) -> None:
        """Listen."""
        self.path = short_directory(self) / "s"
        self.came: Deferred[Protocol] = Deferred()
        factory = Factory()
        factory.buildProtocol = self.build
        self.port: Any = listen(reactor, self.path, 0o600, factory)

    def build(self, _address: object) -> Protocol:
        """A protocol that fires ``came`` when it is connected."""
        protocol = Protocol()
        protocol.connectionMade = lambda: self.came.callback(protocol)  # type: ignore[method-assign]
        return protocol

    def run_out(self) -> None:
        """Have one attempt to accept fail."""
        with mock.patch.object(self.port, "socket", Failing(OSError(errno.EMFILE, "short"))):
            self.port.doRead()

    async def test_they_wait(self) -> None:
        """A connection that could not be accepted is served once descriptors are free."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.path))
            self.run_out()
            protocol = await self.came
            lost: Deferred[None] = Deferred()
            protocol.connectionLost = lambda *_: lost.callback(None)  # type: ignore[method-assign]
        await lost
        await maybeDeferred(self.port.stopListening)

    async def test_stops_while_waiting(self) -> None:
        """A port that is closed meanwhile leaves no delayed call behind, which trial would report."""
        self.run_out()
        await maybeDeferred(self.port.stopListening)
