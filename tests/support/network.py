"""A node that crawlers reach over TCP and TLS."""

from pathlib import Path
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

from copilot_socket.client.addresses import TLS
from copilot_socket.client.twisted_connecting import TLSClient
from tests.support.certificates import Authority
from tests.support.crawler import TestCrawler, reactor
from tests.support.server import InProcessNode, NodeTestCase, short_directory

TOKEN = {"COPILOT_CRAWLER_TOKEN": "t"}
QUIET = {
    "SOCKET_HEARTBEAT_INTERVAL": "20000",
    "SOCKET_HEARTBEAT_TIMEOUT": "60000",
    "SOCKET_RECONNECT_GRACE": "20000",
    "SOCKET_LEASE": "30000",
    "SOCKET_CONNECTION_TIMEOUT": "60000",
}
"""Times in ms, so long that no timer fires."""


class NetworkTestCase(NodeTestCase):
    """A node that listens on the network, too; files of certificates."""

    timeout = 180

    def setUp(self) -> None:
        super().setUp()
        self.directory = short_directory()
        self.addCleanup(lambda: [path.unlink() for path in self.directory.iterdir()] and self.directory.rmdir())
        self.authority = Authority()
        self.ca = self.put("ca", self.authority.pem)
        self.server = self.authority.issue("server", server=True).write(self.directory, "server")
        self.own = self.authority.issue("one").write(self.directory, "one")

    def put(self, name: str, data: bytes) -> Path:
        """Write a file."""
        path = self.directory / name
        path.write_bytes(data)
        return path

    def tls(self, **more: Path) -> str:
        """A TLS endpoint, with a CA of clients unless *more* says otherwise."""
        arguments = more or {"clientCA": self.ca}
        text = "".join(f":{name}={path}" for name, path in arguments.items())
        return f"ssl:0:interface=127.0.0.1:certKey={self.server}{text}"

    async def listening(self, *endpoints: str, **environ: str) -> InProcessNode:
        """A node with these endpoints."""
        return await self.node(**{**QUIET, "COPILOT_LISTEN": ";".join(endpoints), **environ})

    def endpoint(self, node: InProcessNode, own: Path | None = None, number: int = 1) -> IStreamClientEndpoint:
        """How to connect to the *number*-th endpoint: over TLS with the certificate *own*, or over TCP."""
        port = self.port(node, number)
        return TCP4ClientEndpoint(reactor, "127.0.0.1", port) if own is None else self.client(port, own)

    def client(self, port: int, own: Path | None) -> TLSClient:
        """Over TLS."""
        return TLSClient(reactor, TLS("127.0.0.1", port, self.ca, own))

    def port(self, node: InProcessNode, number: int = 1) -> int:
        """The port of the *number*-th endpoint."""
        return int(node.node.ports.crawler_ports[number].getHost().port)

    async def over(self, endpoint: IStreamClientEndpoint, name: str = "one", **hello: Any) -> TestCrawler:
        """A connection over *endpoint*; with *hello*, one that has been welcomed."""
        crawler = await TestCrawler.over(endpoint, name)
        self.addCleanup(crawler.hang_up)
        if hello:
            await crawler.hello(**hello)
        return crawler

    async def refused_at_the_door(self, endpoint: IStreamClientEndpoint) -> None:
        """No message of a connection over *endpoint* is handled."""
        crawler = await self.over(endpoint)
        crawler.say("hello", crawlerId="one", token="t")
        await crawler.closed
        self.assertEqual(crawler.received, [])
