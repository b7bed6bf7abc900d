"""Listening sockets while the system has no room for connections."""

import errno
import socket
from typing import Any
from unittest import mock

from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from copilot_socket.wire import accepting
from copilot_socket.wire.listening import listen
from tests.wire.test_listening import short_directory


class Listening:
    """A socket that has nothing to accept but what the test says."""

    def __init__(self, *outcomes: object) -> None:
        self.outcomes = list(outcomes)
        self.calls = 0

    def accept(self) -> Any:
        """The next outcome; errors are raised."""
        self.calls += 1
        outcome = self.outcomes.pop(0) if self.outcomes else BlockingIOError()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class ShortageTests(TestCase):
    """accept() fails."""

    timeout = 20

    def setUp(self) -> None:
        """A port on a real socket, whose readiness is up to the test."""
        self.path = short_directory(self) / "s"
        self.came: Deferred[None] = Deferred()
        factory = Factory()
        factory.buildProtocol = self.build
        self.port: Any = listen(reactor, self.path, 0o600, factory)
        self.addCleanup(lambda: self.port.connected and self.port.stopListening())
        self.clock = Clock()

    def build(self, _address: object) -> Protocol:
        """A protocol that tells of its connection."""
        protocol = Protocol()
        protocol.connectionMade = lambda: self.came.callback(None)  # type: ignore[method-assign]
        self.addCleanup(lambda: protocol.transport and protocol.transport.loseConnection())
        return protocol

    def short_of(self, *outcomes: object) -> Listening:
        """Have accept() come to *outcomes*."""
        fake = Listening(*outcomes)
        patching = mock.patch.multiple(self.port, socket=fake, reactor=self.clock)
        patching.start()
        self.addCleanup(patching.stop)
        self.patch(self.port, "startReading", lambda: self.reading.append(True))
        self.patch(self.port, "stopReading", lambda: self.reading.append(False))
        self.reading: list[bool] = []
        return fake

    def test_backs_off(self) -> None:
        """Whatever the system is short of, there is one attempt each half a second, and one log line a minute."""
        said: list[str] = []
        self.patch(accepting.Accepting, "log", mock.Mock(error=lambda *_, **fields: said.append(fields["error"])))
        shortages = [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS]
        fake = self.short_of(*(OSError(number, "short") for number in shortages * 40))
        for _ in range(150):
            self.port.doRead()
            self.assertEqual(self.reading, [False])
            self.clock.advance(accepting.RETRY)
            self.assertEqual(self.reading, [False, True])
            self.reading.clear()
        self.assertEqual(fake.calls, 150)
        self.assertEqual(said, ["short"] * 2)

    def test_who_has_gone(self) -> None:
        """A connection that ended while it waited, or that a packet filter refuses, costs those behind it nothing."""
        fake = self.short_of(ConnectionAbortedError(), PermissionError(), BlockingIOError())
        self.port.doRead()
        self.assertEqual((fake.calls, self.reading), (3, []))

    async def test_they_wait(self) -> None:
        """Who could not be accepted is served once there is room."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.path))
            with mock.patch.object(accepting, "RETRY", 0.01):
                self.short_of(OSError(errno.EMFILE, "short"))
                self.port.doRead()
            mock.patch.stopall()
            self.clock.advance(1.0)
            await self.came

    async def test_stops_while_waiting(self) -> None:
        """A port that ends meanwhile leaves no call behind."""
        self.short_of(OSError(errno.EMFILE, "short"))
        self.port.doRead()
        mock.patch.stopall()
        await maybeDeferred(self.port.stopListening)
        self.assertEqual((self.reading, self.clock.getDelayedCalls()), ([False, False], []))
