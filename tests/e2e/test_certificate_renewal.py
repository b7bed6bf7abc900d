"""Certificates of the TLS endpoints that are renewed while the node runs."""

import contextlib
import socket

from OpenSSL import SSL, crypto
from twisted.internet.threads import deferToThread

from copilot_socket.event_bus import Refused
from copilot_socket.wire import tls as tls_module
from copilot_socket.wire.tls import NO_LONGER
from tests.support.certificates import Authority, Issued
from tests.support.crawler import until
from tests.support.network import NetworkTestCase
from tests.support.server import InProcessNode


class RenewalTests(NetworkTestCase):
    """Files are replaced while the node runs."""

    def look(self, node: InProcessNode) -> None:
        """Let the node look twice."""
        for _ in range(2):
            node.node.ports.look()

    async def test_the_server(self) -> None:
        """A new certificate is for new connections; open ones go on. A faulty one is logged once, and not used."""
        node = await self.listening(self.tls())
        before = await self.over(self.endpoint(node, self.own), "before", maxJobs=1)
        other = Authority("other")
        other.issue("renewed", server=True).write(self.directory, "server")
        self.look(node)
        await self.refused_at_the_door(self.endpoint(node, self.own))  # by the client
        self.ca, trusted = self.put("ca of the server", other.pem), self.ca
        await self.over(self.endpoint(node, self.own), "after", maxJobs=1)
        self.assertEqual(
            (await before.told("heartbeat", activeJobs=0, totalProcessed=0, systemStatus="idle"))["type"], "ack"
        )
        self.put("server.pem", b"nonsense")
        self.look(node)
        self.look(node)
        await self.over(self.endpoint(node, self.own), "after all", maxJobs=1)
        self.assertTrue(trusted.exists())

    async def test_revoked(self) -> None:
        """Whoever's fingerprint is removed, or CA replaced, gets in no more, and open connections end."""
        client = self.authority.issue("two")
        path = self.put("list", client.fingerprint.encode())
        self.patch(tls_module, "JUDGED_AT_ONCE", 1)
        node = await self.listening(self.tls(), self.tls(clientFingerprints=path))
        two = client.write(self.directory, "two")
        mine = await self.over(self.endpoint(node, self.own), "mine", maxJobs=1)
        listed = await self.over(self.endpoint(node, two, 2), "listed", maxJobs=1)
        self.put("list", b"# nobody")
        self.look(node)
        await listed.closed
        await self.refused_at_the_door(self.endpoint(node, two, 2))
        self.assertTrue(mine.open)
        self.ca = self.put("ca of the server", self.ca.read_bytes())
        second = await self.over(self.endpoint(node, self.own), "second", maxJobs=1)
        self.put("ca", Authority("next").pem)
        self.look(node)
        for each in (mine, second):
            await each.closed
        await self.refused_at_the_door(self.endpoint(node, self.own))

    async def test_revoked_during_its_handshake(self) -> None:
        """Files that are replaced before a handshake is over decide on it, too."""
        client = self.authority.issue("two")
        path = self.put("list", client.fingerprint.encode())
        node = await self.listening(self.tls(clientFingerprints=path))
        refused: list[Refused] = []
        node.node.bus.subscribe_by_type({Refused: refused.append})
        for listed, words in ((client.fingerprint, [b"welcome"]), ("# nobody", [])):
            raw = socket.create_connection(("127.0.0.1", self.port(node)))
            self.addCleanup(raw.close)
            connection = SSL.Connection(self.context(client), None)
            connection.set_connect_state()
            await deferToThread(_begin, connection, raw)
            self.put("list", f"{listed}\n# renewed".encode())
            self.look(node)
            said = await deferToThread(_end, connection, raw)
            self.assertEqual([word for word in (b"welcome",) if word in said], words)
        self.assertEqual([each.what for each in refused], [f"connection to ssl:0: {NO_LONGER}"])
        await until(lambda: not node.node.factory.outside)

    def context(self, client: Issued) -> SSL.Context:
        """What a client with this certificate uses."""
        context = SSL.Context(SSL.TLS_METHOD)
        context.use_certificate(client.certificate)
        context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, client.key_pem))
        return context


def _begin(connection: SSL.Connection, raw: socket.socket) -> None:
    """A handshake of TLS 1.3 up to the client's last flight, which is not sent. Blocks."""
    while True:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            _pass_on(connection, raw)
            connection.bio_write(raw.recv(65536))
        else:
            return


def _end(connection: SSL.Connection, raw: socket.socket) -> bytes:
    """Send that, and a ``hello``; what is said first, or nothing before the end. Blocks."""
    connection.send(b'{"type":"hello","timestamp":"","data":{"crawlerId":"one"}}\n')
    _pass_on(connection, raw)
    while data := raw.recv(65536):
        connection.bio_write(data)
        try:
            return connection.recv(65536)
        except SSL.WantReadError:
            continue
        except SSL.ZeroReturnError:
            break
    return b""


def _pass_on(connection: SSL.Connection, raw: socket.socket) -> None:
    with contextlib.suppress(SSL.WantReadError):
        raw.sendall(connection.bio_read(65536))
