"""The listening ports of a node: the crawlers' socket and the HTTP port, created or inherited, and ``http.sock``."""

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
from copilot_socket.http.own_token import SOCKET, make_directory
from copilot_socket.wire.accepting import CrawlerPort, HTTPPort, InheritedPort, LocalHTTPPort
from copilot_socket.wire.listening import LOCK_PATIENCE, SocketError, adopt, listen

LOOK = 2.0
"""Seconds between checks whether the socket file still exists."""


class Ports:
    """The ports of a node. Sockets in *inherited* are used as they are; the others are created from *config*."""

    log = Logger()

    def __init__(self, config: Config, inherited: Inherited, reactor: Any) -> None:
        self._config = config
        self._inherited = inherited
        self._reactor = reactor
        self._factory: Factory | None = None
        self._crawlers: CrawlerPort | None = None
        self._http: HTTPPort | None = None
        self._local: CrawlerPort | None = None
        self._reported = ""
        self.reachable = True
        """Whether crawlers can connect to the socket, as of the last check."""

    def open(self, crawlers: Factory, http: IProtocolFactory) -> None:
        """Listen on all. Raises ``SocketError`` or ``CannotListenError``, and then listens on none.

        A node goes without ``http.sock`` where that can't be made.
        """
        self._factory = crawlers
        http.noisy = False  # type: ignore[attr-defined]  # the node logs where it listens
        given = self._inherited.crawlers
        self._crawlers = self._listen() if given is None else adopt(self._reactor, given, crawlers)
        try:
            self._http = self._listen_to_http(http)
        except CannotListenError:
            self._crawlers.connectionLost(Failure())  # immediately: the reactor may not be running
            self._crawlers = None
            raise
        self._local = self._listen_locally(http)

    def look(self) -> None:
        """Listen again if the file of the crawlers' socket was removed. Call this every :data:`LOOK` seconds."""
        port = self._crawlers
        if port is None or port.disconnecting:
            return
        if port.in_place:
            self._reachable_again()
        elif isinstance(port, InheritedPort):
            self._report(
                f"The file of the socket {port.path} was removed, and only the service manager can make a new one: "
                "systemctl stop copilot-socket.socket copilot-socket.service, and start both again"
            )
        else:
            self._replace(port)

    def _replace(self, port: CrawlerPort) -> None:
        try:
            self._crawlers = self._listen(patience=0.0)
        except SocketError as error:
            self._report(f"The file of the crawlers' socket was removed, and there can't be a new one: {error}")
            return
        self.log.warn("The file of the socket {path} was removed; it is recreated", path=str(port.path))
        maybeDeferred(port.stopListening).addErrback(self._not_closed)
        self._reachable_again()

    def _report(self, text: str) -> None:
        """Log *text*, unless it is the last one that was logged."""
        self.reachable = False
        if text != self._reported:
            self._reported = text
            self.log.error("{text}", text=text)

    def _reachable_again(self) -> None:
        if not self.reachable:
            self.log.info("Crawlers can connect again")
        self.reachable, self._reported = True, ""

    def close(self) -> "Deferred[Any]":
        """Stop listening; open connections stay. The Deferred fires when that is done, and never fails."""
        ports = [port for port in (self._crawlers, self._http, self._local) if port is not None]
        closed = [maybeDeferred(port.stopListening) for port in ports]
        for each in closed:
            each.addErrback(self._not_closed)
        return DeferredList(closed)

    def _not_closed(self, failure: Failure) -> None:
        self.log.failure("Closing a port failed", failure)

    @property
    def crawler_path(self) -> str:
        """The path of the crawlers' socket."""
        return str(self._crawlers.path)  # type: ignore[union-attr]

    @property
    def http_host(self) -> str:
        """The address of the HTTP port."""
        return str(self._http.getHost().host)  # type: ignore[union-attr]

    @property
    def http_port(self) -> int:
        """The number of the HTTP port, which the configuration may leave to the system."""
        return int(self._http.getHost().port)  # type: ignore[union-attr]

    def _listen(self, patience: float = LOCK_PATIENCE) -> CrawlerPort:
        config = self._config
        assert self._factory is not None
        return listen(self._reactor, Path(config.socket_path), config.socket_mode, self._factory, patience)

    def _listen_locally(self, factory: IProtocolFactory) -> CrawlerPort | None:
        state_dir = self._config.state_dir
        try:
            make_directory(state_dir)
            path, variable = state_dir / SOCKET, "COPILOT_STATE_DIR"
            return listen(self._reactor, path, 0o600, cast(Factory, factory), port=LocalHTTPPort, variable=variable)
        except (SocketError, OSError) as error:
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
