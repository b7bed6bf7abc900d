"""UNIX sockets of a node whose files may be removed while it runs: it makes them anew."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.wire.accepting import CrawlerPort, InheritedPort, SocketPort
from copilot_socket.wire.listening import LOCK_PATIENCE, SocketError, listen


class SocketListening:
    """A UNIX socket whose file may be removed.

    *create* makes a port anew, and may wait for so many seconds for another process's start.
    """

    log = Logger("copilot_socket.ports.Ports")

    def __init__(self, port: SocketPort, create: Callable[[float], SocketPort]) -> None:
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

    def _replace(self, port: SocketPort) -> None:
        try:
            self.port = self._create(0.0)
        except SocketError as error:
            self._report(f"The file of the socket {port.path} was removed, and there can't be a new one: {error}")
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
            self.log.info("The socket {path} is there again", path=str(self.port.path))
        self.reachable, self._reported = True, ""

    def _not_closed(self, failure: Failure) -> None:
        self.log.failure("Closing a port failed", failure)


def open_socket(
    path: Path,
    mode: int,
    factory: Factory,
    reactor: Any,
    variable: str,
    port: type[SocketPort] = CrawlerPort,
    directory_mode: int = 0o755,
) -> SocketListening:
    """Listen on the UNIX socket *path*, as :func:`.listen` does. Raises :class:`SocketError`."""

    def create(patience: float = LOCK_PATIENCE) -> SocketPort:
        return listen(
            reactor, path, mode, factory, patience, port=port, variable=variable, directory_mode=directory_mode
        )

    return SocketListening(create(), create)
