"""Where crawlers connect: the UNIX sockets and ports of ``COPILOT_LISTEN``."""

from pathlib import Path
from typing import Any, Protocol

from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from copilot_socket.config import Config, Fault
from copilot_socket.core.endpoints import Endpoint, TCPEndpoint, TLSEndpoint, UNIXEndpoint
from copilot_socket.socket_ports import open_socket
from copilot_socket.wire.accepting import TCPPort
from copilot_socket.wire.certificates import CertificateFault, read
from copilot_socket.wire.factory import CrawlerFactory
from copilot_socket.wire.listening import SocketError
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
        return open_socket(Path(endpoint.path), endpoint.mode or config.socket_mode, crawlers, reactor, LISTEN)
    return NetworkListening(endpoint, crawlers, reactor)


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
