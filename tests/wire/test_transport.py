"""The transport: what it writes immediately and what it buffers arrives complete and in order."""

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from copilot_socket.wire.accepting import TCPPort
from copilot_socket.wire.flow import Flow
from copilot_socket.wire.listening import listen
from tests.support.crawler import until
from tests.wire.test_listening import short_directory

MUCH = b"".join(b"%07d\n" % number for number in range(500_000))
"""More bytes than any socket buffer takes."""


class Server(Protocol):
    """Tells of its beginning, its end and what it hears."""

    def __init__(self) -> None:
        self.made: Deferred[None] = Deferred()
        self.lost: Deferred[None] = Deferred()
        self.heard: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        self.made.callback(None)

    def dataReceived(self, data: bytes) -> None:
        self.heard.callback(data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost.callback(None)


class Connection(Flow):
    """Remembers what the transport says of its send buffer."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def pauseProducing(self) -> None:
        self.heard.append("full")

    def resumeProducing(self) -> None:
        self.heard.append("empty")

    def bytes_taken(self) -> None:
        self.heard.append("taken")


class TransportTests(TestCase):
    """A connection over a real socket; the other end is a blocking socket of this process."""

    timeout = 120

    async def connect(self) -> None:
        """Connect the two ends."""
        self.server = Server()
        factory = Factory()
        factory.noisy = False
        factory.buildProtocol = lambda _: self.server
        port, self.client, place = self.listen(factory)
        self.addCleanup(lambda: maybeDeferred(port.stopListening))
        self.addCleanup(self.client.close)
        self.client.settimeout(10)
        self.client.connect(place)
        await self.server.made
        self.transport: Any = self.server.transport

    def listen(self, factory: Factory) -> tuple[Any, socket.socket, Any]:
        """A port, a socket, and what to connect that to."""
        path = short_directory(self) / "s"
        return listen(reactor, path, 0o600, factory), socket.socket(socket.AF_UNIX), str(path)

    def read_to_the_end(self) -> "Deferred[bytes]":
        """All that the server sends until it closes; read beside the reactor."""

        def read() -> bytes:
            found = b""
            while chunk := self.client.recv(1 << 20):
                found += chunk
            return found

        return deferToThread(read)

    async def leave(self) -> None:
        """Close the client's end."""
        self.client.close()
        await self.server.lost

    async def test_at_once(self) -> None:
        """What the socket takes is sent when write() returns, and the reactor does not watch for writability."""
        await self.connect()
        self.transport.write(b"first ")
        self.transport.write(b"second")
        self.assertEqual(self.client.recv(100), b"first second")
        self.assertNotIn(self.transport, reactor.getWriters())
        await self.leave()

    async def test_what_the_socket_does_not_take(self) -> None:
        """It waits for the other end to read, and what is written later waits behind it; the end comes last."""
        await self.connect()
        self.transport.write(MUCH)
        self.transport.write(b"later")
        self.transport.loseConnection()
        self.assertEqual(await self.read_to_the_end(), MUCH + b"later")
        await self.server.lost

    async def test_progress(self) -> None:
        """The connection hears when the send buffer fills, when the client takes some of it, and when it is empty."""
        await self.connect()
        connection = Connection()
        self.transport.registerProducer(connection, True)
        self.transport.write(MUCH)
        await until(lambda: self.transport in reactor.getWriters() and connection.heard == ["full"])
        await deferToThread(self.client.recv, 1 << 20)
        await until(lambda: "taken" in connection.heard)
        read = self.read_to_the_end()
        await until(lambda: connection.heard[-1] == "empty")
        self.assertEqual(connection.heard, ["full", *["taken"] * (len(connection.heard) - 2), "empty"])
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        await read
        await self.server.lost
        self.assertEqual((self.transport.dataBuffer, self.transport._tempDataBuffer), (b"", []))

    async def test_small_writes_on_a_full_socket(self) -> None:
        """Many writes keep their order when the socket becomes full between them."""
        await self.connect()
        lines = MUCH.splitlines(keepends=True)[:60_000]
        for line in lines:
            self.transport.write(line)
        self.assertIn(self.transport, reactor.getWriters())
        self.transport.loseConnection()
        self.assertEqual(await self.read_to_the_end(), b"".join(lines))
        await self.server.lost

    async def test_written_to_a_client_that_has_closed(self) -> None:
        """What it has sent before is read nevertheless, however much is written; then the connection ends."""
        for written in (b"x", MUCH):
            await self.connect()
            self.transport.pauseProducing()
            self.client.sendall(b"said before")
            self.client.close()
            self.transport.write(written)
            self.transport.write(b"later")
            self.transport.resumeProducing()
            self.assertEqual(await self.server.heard, b"said before")
            await self.server.lost

    async def test_closed_after_a_write(self) -> None:
        """The end of the connection comes behind what was written, nothing of which had to wait."""
        await self.connect()
        self.transport.write(b"last words")
        self.transport.loseConnection()
        self.assertEqual(await self.read_to_the_end(), b"last words")
        await self.server.lost

    async def test_the_other_end_has_gone(self) -> None:
        """A write to it raises nothing; the protocol hears of the loss from the reactor, not from within write()."""
        await self.connect()
        self.client.close()
        self.transport.write(b"is discarded")
        self.assertFalse(self.server.lost.called)
        await self.server.lost
        self.transport.write(b"nor this")

    async def test_bytes_in(self) -> None:
        """What comes in reaches the protocol, a file descriptor that comes along does not matter."""
        await self.connect()
        socket.send_fds(self.client, [b"hello"], [self.client.fileno()])
        self.assertEqual(await self.server.heard, b"hello")
        await self.leave()


class TCPTransportTests(TransportTests):
    """The same over TCP, with as little room in the kernel."""

    async def connect(self) -> None:
        """Connect the two ends."""
        await super().connect()
        self.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)

    def listen(self, factory: Factory) -> tuple[Any, socket.socket, Any]:
        """On loopback."""
        port = TCPPort(0, factory, interface="127.0.0.1", reactor=reactor)
        port.startListening()
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        return port, client, ("127.0.0.1", port.getHost().port)

    async def test_bytes_in(self) -> None:
        """What comes in reaches the protocol. Small writes leave at once, and the kernel looks after dead peers."""
        await self.connect()
        self.client.sendall(b"hello")
        self.assertEqual(await self.server.heard, b"hello")
        self.assertTrue(self.transport.getTcpNoDelay())
        self.assertTrue(self.transport.getTcpKeepAlive())
        await self.leave()
