"""The listening ports of a node: where crawlers connect, the HTTP port, and ``http.sock``; created or inherited."""

import os
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.activation import Inherited
from copilot_socket.config import Config
from copilot_socket.crawler_ports import Listening, open_endpoint
from copilot_socket.directories import state_mode
from copilot_socket.http.own_token import SOCKET
from copilot_socket.socket_ports import SocketListening, open_socket
from copilot_socket.wire.accepting import HTTPPort, LocalHTTPPort, SocketPort
from copilot_socket.wire.factory import CrawlerFactory
from copilot_socket.wire.listening import SocketError, adopt

LOOK = 2.0
"""Seconds between checks whether socket files still exist and files of certificates were replaced."""


class Ports:
    """The ports of a node. Sockets in *inherited* are used as they are; the others are created from *config*."""

    log = Logger()

    def __init__(self, config: Config, inherited: Inherited, reactor: Any) -> None:
        self._config = config
        self._inherited = inherited
        self._reactor = reactor
        self._crawlers: list[Listening] = []
        """The first one is the socket of SOCKET_PATH."""
        self._http: HTTPPort | None = None
        self._local: SocketListening | None = None

    def open(self, crawlers: CrawlerFactory, http: IProtocolFactory) -> None:
        """Listen on all. Raises ``SocketError`` or ``CannotListenError``, and then listens on none.

        A node goes without ``http.sock`` where that can't be made.
        """
        http.noisy = False  # type: ignore[attr-defined]  # the node logs where it listens
        config, reactor = self._config, self._reactor
        try:
            self._crawlers.append(self._open_first(crawlers))
            for endpoint in config.listen:
                self._crawlers.append(open_endpoint(endpoint, config, crawlers, reactor))
            self._http = self._listen_to_http(http)
        except (SocketError, CannotListenError):
            for each in self._crawlers:
                each.port.connectionLost(Failure())  # immediately: the reactor may not be running
            self._crawlers = []
            raise
        self._local = self._listen_locally(http)

    def _open_first(self, crawlers: CrawlerFactory) -> SocketListening:
        config, given = self._config, self._inherited.crawlers
        if given is None:
            return open_socket(Path(config.socket_path), config.socket_mode, crawlers, self._reactor, "SOCKET_PATH")
        return SocketListening(adopt(self._reactor, given, crawlers), _no_new_one)

    def look(self) -> None:
        """Look after socket files that were removed, and certificates that were replaced, every :data:`LOOK` s."""
        for each in self._listening:
            each.look()

    @property
    def _listening(self) -> list[Listening]:
        """All but the HTTP port."""
        return self._crawlers if self._local is None else [*self._crawlers, self._local]

    @property
    def reachable(self) -> bool:
        """Whether crawlers can connect everywhere, as of the last look."""
        return all(each.reachable for each in self._crawlers)

    def close(self) -> "Deferred[Any]":
        """Stop listening; open connections stay. The Deferred fires when that is done, and never fails."""
        ports = [each.port for each in self._listening]
        if self._http is not None:
            ports.append(self._http)
        closed = [maybeDeferred(port.stopListening) for port in ports]
        for each in closed:
            each.addErrback(self._not_closed)
        return DeferredList(closed)

    def _not_closed(self, failure: Failure) -> None:
        self.log.failure("Closing a port failed", failure)

    @property
    def crawlers(self) -> list[str]:
        """Where crawlers connect, for people: the socket's path first."""
        return [each.name for each in self._crawlers]

    @property
    def crawler_ports(self) -> list[Any]:
        """Twisted's ports of the crawlers' endpoints, in the order of :attr:`crawlers`."""
        return [each.port for each in self._crawlers]

    @property
    def http_host(self) -> str:
        """The address of the HTTP port."""
        return str(self._http.getHost().host)  # type: ignore[union-attr]

    @property
    def http_port(self) -> int:
        """The number of the HTTP port, which the configuration may leave to the system."""
        return int(self._http.getHost().port)  # type: ignore[union-attr]

    def _listen_locally(self, factory: IProtocolFactory) -> SocketListening | None:
        path, mode = self._config.state_dir / SOCKET, state_mode(os.geteuid() == 0)
        made = cast(Factory, factory)
        try:
            return open_socket(path, 0o600, made, self._reactor, "COPILOT_STATE_DIR", LocalHTTPPort, mode)
        except SocketError as error:
            self.log.warn("Without http.sock the command line needs a token for this node: {error}", error=error)
            return None

    def _listen_to_http(self, factory: IProtocolFactory) -> HTTPPort:
        given = self._inherited.http
        if given is None:
            port = HTTPPort(self._config.http_port, factory, interface=self._config.http_host, reactor=self._reactor)
        else:
            with given:  # the port duplicates the descriptor
                port = HTTPPort._fromListeningDescriptor(self._reactor, given.fileno(), given.family, factory)
        port.startListening()
        return port


def _no_new_one(_patience: float) -> SocketPort:
    """Only the service manager can make its socket anew."""
    raise SocketError("it is the service manager's")
