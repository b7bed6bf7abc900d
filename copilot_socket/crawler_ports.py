"""Where crawlers connect: UNIX sockets, whose files may be removed, and ports of ``COPILOT_LISTEN``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.config import Config, Fault
from copilot_socket.core.endpoints import Endpoint, TCPEndpoint, TLSEndpoint, UNIXEndpoint
from copilot_socket.wire.accepting import CrawlerPort, InheritedPort, TCPPort
from copilot_socket.wire.certificates import CertificateFault, read
from copilot_socket.wire.factory import CrawlerFactory
from copilot_socket.wire.listening import LOCK_PATIENCE, SocketError, listen
from copilot_socket.wire.tls import TLSFactory

BACKLOG = 1024
LISTEN = "COPILOT_LISTEN"


class Listening(Protocol):
    """A place where crawlers connect, and its port."""

    port: Any

    @property
    def reachable(self) -> bool:
        """Whether crawlers can connect, as of the last look."""

    @property
    def name(self) -> str:
        """Where crawlers connect, for people."""

    def look(self) -> None:
        """Look after files that may have been removed or replaced; called every few seconds."""


class SocketListening:
    """A UNIX socket. *create* makes a port anew, and may wait for so many seconds for another process's start."""

    log = Logger("copilot_socket.ports.Ports")

    def __init__(self, port: CrawlerPort, create: Callable[[float], CrawlerPort]) -> None:
        self.port = port
        self._create = create
        self._reported = ""
        self.reachable = True

    @property
    def name(self) -> str:
        """The path."""
        return str(self.port.path)

    def look(self) -> None:
        """Listen again if the file of the socket was removed."""
        port = self.port
        if port.disconnecting:
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
            self.port = self._create(0.0)
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

    def _not_closed(self, failure: Failure) -> None:
        self.log.failure("Closing a port failed", failure)


class NetworkListening:
    """A TCP port, with or without TLS."""

    log = Logger("copilot_socket.ports.Ports")
    reachable = True

    def __init__(self, endpoint: TCPEndpoint, crawlers: CrawlerFactory, reactor: Any) -> None:
        """Listen. Raises :class:`SocketError`."""
        self._endpoint = endpoint
        self._tls: TLSFactory | None = None
        if isinstance(endpoint, TLSEndpoint):
            try:
                self._tls = TLSFactory(endpoint.name, endpoint.files, crawlers, reactor, crawlers.turned_away)
            except CertificateFault as fault:
                raise SocketError(f"can't listen on {endpoint.text}: {fault}; mend it, or set {LISTEN}") from fault
        self.port = TCPPort(
            endpoint.port, self._tls or crawlers, BACKLOG, interface=endpoint.interface, reactor=reactor
        )
        try:
            self.port.startListening()
        except CannotListenError as error:
            cause = getattr(error.socketError, "strerror", None) or error.socketError
            raise SocketError(f"can't listen on {endpoint.text}: {cause}; set {LISTEN} to another port") from error

    @property
    def name(self) -> str:
        """Address and port, and what a crawler has to show."""
        here, kind = self.port.getHost(), "tcp" if self._tls is None else "tls"
        host = f"[{here.host}]" if ":" in here.host else here.host
        shows = "a client certificate" if self._endpoint.admits else "a token"
        server = "" if self._tls is None else f" (certificate: {self._tls.credentials.description})"
        return f"{kind}://{host}:{here.port} with {shows}{server}"

    def look(self) -> None:
        """Take over new certificates."""
        if self._tls is not None:
            self._tls.look()


def open_endpoint(endpoint: Endpoint, config: Config, crawlers: CrawlerFactory, reactor: Any) -> Listening:
    """Listen on *endpoint*. Raises :class:`SocketError`."""
    if isinstance(endpoint, UNIXEndpoint):
        return open_socket(endpoint.path, endpoint.mode or config.socket_mode, crawlers, reactor, LISTEN)
    return NetworkListening(endpoint, crawlers, reactor)


def open_socket(path: str, mode: int, crawlers: CrawlerFactory, reactor: Any, variable: str) -> SocketListening:
    """Listen on the UNIX socket *path*, which *variable* names. Raises :class:`SocketError`."""

    def create(patience: float = LOCK_PATIENCE) -> CrawlerPort:
        return listen(reactor, Path(path), mode, crawlers, patience, variable=variable)

    return SocketListening(create(), create)


def certificate_faults(config: Config) -> list[Fault]:
    """What is wrong with the files of TLS endpoints. Nothing listens yet."""
    [setting] = [setting for setting in config.describe() if setting.name == LISTEN]
    found = []
    for endpoint in config.listen:
        if isinstance(endpoint, TLSEndpoint):
            try:
                read(endpoint.files)
            except CertificateFault as fault:
                allowed = f"{endpoint.text!r} only with files that can be used: {fault}"
                found.append(Fault(LISTEN, setting.value, allowed, setting.origin))
    return found
