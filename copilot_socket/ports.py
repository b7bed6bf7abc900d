"""Where a node listens: the crawlers' socket and the HTTP port, made here or inherited from the service manager."""

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.protocol import Factory

from copilot_socket.activation import Inherited
from copilot_socket.config import Config
from copilot_socket.wire.listening import adopt, listen


class Ports:
    """Both of a node's ports. Those of *inherited* are taken as they are; others are as *config* says."""

    def __init__(self, config: Config, inherited: Inherited, reactor: Any) -> None:
        self._config = config
        self._inherited = inherited
        self._reactor = reactor
        self._crawlers: IListeningPort | None = None
        self._http: IListeningPort | None = None

    def open(self, crawlers: Factory, http: IProtocolFactory) -> None:
        """Listen. Raises ``SocketError`` or ``CannotListenError`` for what is in the way."""
        self._crawlers = self._listen_to_crawlers(crawlers)
        self._http = self._listen_to_http(http)

    def close(self) -> "Deferred[Any]":
        """Take no more connections; those that are open stay. Fires when that is done."""
        ports = [port for port in (self._crawlers, self._http) if port is not None]
        return gatherResults([maybeDeferred(port.stopListening) for port in ports])

    @property
    def crawler_path(self) -> str:
        """The path of the crawlers' socket."""
        return os.fsdecode(self._crawlers.getHost().name)  # type: ignore[union-attr]

    @property
    def http_host(self) -> str:
        """The address of the HTTP port."""
        return str(self._http.getHost().host)  # type: ignore[union-attr]

    @property
    def http_port(self) -> int:
        """The number of the HTTP port, which the configuration may leave to the system."""
        return int(self._http.getHost().port)  # type: ignore[union-attr]

    def _listen_to_crawlers(self, factory: Factory) -> IListeningPort:
        given = self._inherited.crawlers
        if given is not None:
            return adopt(self._reactor, given, factory)
        return listen(self._reactor, Path(self._config.socket_path), self._config.socket_mode, factory)

    def _listen_to_http(self, factory: IProtocolFactory) -> IListeningPort:
        given = self._inherited.http
        if given is not None:
            with given:  # the port has a duplicate
                port: IListeningPort = self._reactor.adoptStreamPort(given.fileno(), given.family, factory)
                return port
        port = self._reactor.listenTCP(self._config.http_port, factory, interface=self._config.http_host)
        return port
