"""A TCP proxy on 127.0.0.1 in front of PostgreSQL's UNIX socket, whose connections a test can break."""

from typing import Any

from psycopg2.extensions import make_dsn, parse_dsn
from twisted.internet import reactor as _reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure

reactor: Any = _reactor


class Proxy:
    """Forwards bytes between a port and the server of *url*."""

    def __init__(self, url: str) -> None:
        self._parts = parse_dsn(url)
        self._ends: list[_Client] = []
        self._listening: Any = None
        self.silent = False
        """Whether connections stay open but bytes are dropped, as on a path that loses packets."""

    async def open(self) -> int:
        """Listen; return the port."""
        factory: Any = Factory.forProtocol(_Client)
        factory.proxy, factory.noisy = self, False
        self._listening = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        return int(self._listening.getHost().port)

    async def close(self) -> None:
        """Refuse new connections, and reset those that are open."""
        await self._listening.stopListening()
        self.cut()

    def cut(self) -> None:
        """Reset all connections."""
        for end in list(self._ends):
            end.transport.abortConnection()

    def dsn(self, *hosts: str, ports: tuple[int, ...]) -> str:
        """A DSN of the database with *hosts* and *ports*."""
        parts = {**self._parts, "host": ",".join(hosts), "port": ",".join(map(str, ports))}
        return str(make_dsn("", **parts))

    @property
    def socket(self) -> str:
        """The path of the server's UNIX socket."""
        return f"{self._parts['host']}/.s.PGSQL.{self._parts.get('port', 5432)}"


class _Client(Protocol):
    """The connection of the node."""

    transport: Any
    factory: Any

    def connectionMade(self) -> None:
        self.proxy: Proxy = self.factory.proxy
        self.proxy._ends.append(self)
        self.transport.pauseProducing()
        reactor.connectUNIX(self.proxy.socket, _ToServer(self))

    def joined(self, server: Any) -> None:
        """The connection to PostgreSQL, *server*, is made."""
        self.server = server
        self.transport.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        if not self.proxy.silent:
            self.server.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.proxy._ends.remove(self)
        self.server.abortConnection()


class _Server(Protocol):
    """The connection to PostgreSQL."""

    def __init__(self, client: _Client) -> None:
        self._client = client

    def connectionMade(self) -> None:
        self._client.joined(self.transport)

    def dataReceived(self, data: bytes) -> None:
        if not self._client.proxy.silent:
            self._client.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._client.transport.loseConnection()


class _ToServer(ClientFactory):
    noisy = False

    def __init__(self, client: _Client) -> None:
        self._client = client

    def buildProtocol(self, addr: Any) -> _Server:
        return _Server(self._client)
