"""What strangers on the network can and cannot do to a node: limits, pauses and its end."""

import socket

from OpenSSL import SSL, crypto
from twisted.internet.threads import deferToThread

from copilot_socket.core.actors import STRANGER
from copilot_socket.event_bus import Refused
from copilot_socket.wire import factory
from copilot_socket.wire.limits import Pause
from tests.support.crawler import until
from tests.support.network import TOKEN, NetworkTestCase
from tests.support.server import InProcessNode


class LimitTests(NetworkTestCase):
    """Strangers stand in nobody's way."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(factory, "REFUSAL_LASTS", 0.5)

    async def strangers(self, node: InProcessNode, count: int) -> list[socket.socket]:
        """Connections that say nothing, each known to the node."""
        found = []
        for _ in range(count):
            stranger = socket.create_connection(("127.0.0.1", self.port(node)))
            self.addCleanup(stranger.close)
            found.append(stranger)
        return found

    async def test_handshakes(self) -> None:
        """Unfinished handshakes take nobody's place, are bounded, and end at the connection time-out."""
        node = await self.listening(self.tls(), SOCKET_MAX_CONNECTIONS="2", SOCKET_CONNECTION_TIMEOUT="1000")
        connections = node.node.factory
        self.patch(connections, "_max_refused", 3)
        strangers = await self.strangers(node, 5)
        strangers[-1].send(b"\x16\x03\x01")
        await until(lambda: len(connections.outside) == 3)
        for name in ("one", "two"):
            await self.over(self.endpoint(node, self.own), name, maxJobs=1)
        third = await self.over(self.endpoint(node, self.own), "three")
        self.assertEqual((await third.expect("error"))["data"]["code"], "too_many_connections")
        self.assertEqual(len(connections.connections), 2)
        for stranger in strangers:
            await deferToThread(_to_the_end, stranger)
        await third.closed
        self.assertEqual(connections.outside, {})

    async def test_without_a_token(self) -> None:
        """Nor do those over TCP that never show a token; one too many with a token is refused as elsewhere."""
        node = await self.listening(
            "tcp:0:interface=127.0.0.1", SOCKET_MAX_CONNECTIONS="1", SOCKET_CONNECTION_TIMEOUT="1000", **TOKEN
        )
        strangers = await self.strangers(node, 3)
        await self.over(self.endpoint(node), "one", token="t")
        second = await self.over(self.endpoint(node), "two")
        second.say("hello", crawlerId="two", token="t")
        second.say("job_request")
        self.assertEqual((await second.expect("error"))["data"]["code"], "too_many_connections")
        await second.closed
        self.assertEqual(len(second.received), 1)
        for stranger in strangers:
            self.assertEqual(await deferToThread(stranger.recv, 1), b"")
        self.assertEqual(list(node.node.factory.outside), [])

    async def test_by_address(self) -> None:
        """At the bound, the address with the most connections loses its oldest one."""
        node = await self.listening("tcp:0:interface=127.0.0.1", **TOKEN)
        self.patch(node.node.factory, "_max_refused", 2)
        other = socket.create_connection(("127.0.0.1", self.port(node)), source_address=("127.0.0.2", 0))
        self.addCleanup(other.close)
        strangers = await self.strangers(node, 4)
        self.assertEqual(await deferToThread(strangers[2].recv, 1), b"")
        addresses = [each.transport.getPeer().host for each in node.node.factory.outside]
        self.assertEqual(addresses, ["127.0.0.2", "127.0.0.1"])

    async def test_no_tls_at_all(self) -> None:
        """Whoever speaks something else is disconnected, and recorded as refused; what they said does not matter."""
        node = await self.listening(self.tls())
        refused: list[Refused] = []
        node.node.bus.subscribe_by_type({Refused: refused.append})
        for said in (
            b"GET / HTTP/1.0\r\n\r\n",
            b'{"type": "job_request", "timestamp": "", "data": {}}\n',
            b"\0" * 70_000,
        ):
            [stranger] = await self.strangers(node, 1)
            stranger.settimeout(10)
            await deferToThread(stranger.sendall, said)
            await deferToThread(_to_the_end, stranger)
        await until(lambda: not node.node.factory.outside)
        whats = [each.what for each in refused]
        self.assertEqual(refused, [Refused("wire", "handshake", STRANGER, "127.0.0.1", each) for each in whats])
        for what, reason in zip(whats, ("http request", "wrong version number", "wrong version number"), strict=True):
            self.assertEqual(what, f"connection to ssl:0: {reason}")

    async def test_half_closed(self) -> None:
        """In the middle of the handshake: the connection ends."""
        node = await self.listening(self.tls())
        [stranger] = await self.strangers(node, 1)
        stranger.shutdown(socket.SHUT_WR)
        self.assertEqual(await deferToThread(stranger.recv, 1), b"")
        await until(lambda: not node.node.factory.outside)

    async def test_versions(self) -> None:
        """TLS 1.1 and older are refused, 1.2 and 1.3 are spoken."""
        node = await self.listening(self.tls())
        versions = (SSL.TLS1_1_VERSION, SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION)
        spoken = [await deferToThread(self.speak, self.port(node), version) for version in versions]
        self.assertEqual(spoken, [False, True, True])

    def speak(self, port: int, version: int) -> bool:
        """Whether a crawler is welcomed over this version of TLS. Blocks."""
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
        pem = self.own.read_bytes()
        context.use_certificate(crypto.load_certificate(crypto.FILETYPE_PEM, pem))
        context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, pem))
        with socket.create_connection(("127.0.0.1", port)) as raw:
            connection = SSL.Connection(context, raw)
            connection.set_connect_state()
            try:
                connection.do_handshake()
                connection.sendall(b'{"type":"hello","timestamp":"","data":{"crawlerId":"one"}}')
                return b"welcome" in connection.recv(4096)
            except SSL.Error:
                return False


class PauseTests(NetworkTestCase):
    """A node that takes no messages for now."""

    async def test_nobody_is_read(self) -> None:
        """Handshakes are made, but nothing is handled, nor of those that are not admitted yet, before it goes on."""
        node = await self.listening(self.tls(), "tcp:0:interface=127.0.0.1", **TOKEN)
        node.node.factory.read(False)
        crawlers = [
            await self.over(self.endpoint(node, self.own), "tls"),
            await self.over(self.endpoint(node, None, 2), "tcp"),
        ]
        for crawler in crawlers:
            crawler.say("hello", crawlerId=crawler.name, token="t")
        factory = node.node.factory
        await until(lambda: len(factory.connections) == len(factory.outside) == 1)
        waiting = (*factory.connections.values(), *factory.outside)
        await until(lambda: all(Pause.NODE in each.pauses for each in waiting))
        self.assertEqual([crawler.received for crawler in crawlers], [[], []])
        self.assertEqual(self.query("SELECT count(*) FROM crawlers"), [(0,)])
        factory.read(True)
        for crawler in crawlers:
            await crawler.expect("welcome")


class StopTests(NetworkTestCase):
    """A node that stops."""

    async def test_farewell(self) -> None:
        """Crawlers over the network hear of it, and strangers are disconnected, which is no refusal."""
        node = await self.listening(self.tls(), "tcp:0:interface=127.0.0.1", **TOKEN)
        refused: list[Refused] = []
        node.node.bus.subscribe_by_type({Refused: refused.append})
        crawlers = [
            await self.over(self.endpoint(node, self.own), "tls", maxJobs=1),
            await self.over(self.endpoint(node, None, 2), "tcp", token="t"),
        ]
        strangers = [await self.over(self.endpoint(node, None, 2)), await self.over(self.endpoint(node, None, 1))]
        await until(lambda: len(node.node.factory.outside) == 2)
        await node.stop()
        for crawler in crawlers:
            await crawler.expect("shutdown")
        for each in (*crawlers, *strangers):
            await each.closed
        self.assertEqual([each.received for each in strangers], [[], []])
        self.assertEqual(refused, [])


def _to_the_end(stranger: socket.socket) -> None:
    try:
        while stranger.recv(4096):
            pass
    except ConnectionError:
        pass
