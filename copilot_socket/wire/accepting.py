"""Listening ports: accepting connections, and removing a socket's file only while it is still this socket's."""

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IDelayedCall, IReactorUNIX
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from copilot_socket.wire.transport import CrawlerTransport, TCPTransport

ACCEPTS_PER_TURN = 5
"""Connections accepted in one turn of the reactor."""
RETRY_DELAY = 0.5
"""Seconds before accepting again after the system had no descriptor or memory for a connection."""
LOG_INTERVAL = 60.0
"""Seconds between two log lines about that."""

FileId = tuple[int, int]
"""Device and inode of a file."""


def file_id(path: Path) -> FileId | None:
    """The id of the file at *path*; None if there is no file, or it is not accessible."""
    try:
        status = path.lstat()
    except (OSError, ValueError):  # ValueError: the name of an abstract socket begins with a NUL byte
        return None
    return status.st_dev, status.st_ino


class Accepting:
    """Mixin for Twisted's port classes: connections that find no free descriptor wait in the backlog.

    Twisted's own port closes such connections or, when even its spare descriptor is in use or the whole system has
    none left, runs in a busy loop.
    """

    log = Logger()
    _resumption: IDelayedCall | None = None
    _reported = float("-inf")

    def doRead(self: Any) -> None:
        """Accept connections from the backlog."""
        for _ in range(ACCEPTS_PER_TURN):
            try:
                connection, address = self.socket.accept()
            except BlockingIOError:
                return
            except (ConnectionAbortedError, PermissionError, InterruptedError):
                continue  # the client closed the connection, or a packet filter refused it
            except OSError as error:
                self._back_off(error)
                return
            try:
                self._begin(connection, address)
            except Exception:
                self.log.failure("A new connection could not be set up")

    def _begin(self: Any, connection: socket.socket, address: Any) -> None:
        protocol = self.factory.buildProtocol(self._buildAddr(address))
        if protocol is None:
            connection.close()
            return
        number, self.sessionno = self.sessionno, self.sessionno + 1
        protocol.makeConnection(self.transport(connection, protocol, address, self, number, self.reactor))

    def _back_off(self: Any, error: OSError) -> None:
        now = self.reactor.seconds()
        if now - self._reported >= LOG_INTERVAL:
            self._reported = now
            self.log.error("Can't accept connections: {error}; new ones wait in the backlog", error=error.strerror)
        self.stopReading()
        self._resumption = self.reactor.callLater(RETRY_DELAY, self._resume)

    def _resume(self: Any) -> None:
        self._resumption = None
        if self.connected and not self.disconnecting:
            self.startReading()

    def connectionLost(self: Any, reason: Failure) -> None:
        """Close the socket."""
        if self._resumption is not None:
            self._resumption.cancel()
            self._resumption = None
        # Not super(): unix.Port removes whatever file is at its path, and fails if there is none.
        tcp.Port.connectionLost(self, reason)


class HTTPPort(Accepting, tcp.Port):
    """Listens for HTTP."""


class TCPPort(Accepting, tcp.Port):
    """Listens for crawlers over TCP, perhaps below TLS."""

    transport = TCPTransport  # type: ignore[assignment]


class SocketPort(Accepting, unix.Port):
    """Listens on a UNIX socket of its own; on close, removes the file if it is still this socket's."""

    file: FileId | None = None
    """The file that listening created."""

    def __init__(self, address: str | bytes, *arguments: Any, **more: Any) -> None:
        super().__init__(address, *arguments, **more)  # type: ignore[arg-type]
        self.path = Path(os.fsdecode(address))
        """The path that clients connect to."""

    @property
    def in_place(self) -> bool:
        """Whether the file at the path is still this socket's."""
        return self.file is not None and file_id(self.path) == self.file

    def startListening(self) -> None:
        """See :class:`twisted.internet.interfaces.IListeningPort`."""
        super().startListening()
        self.file = file_id(self.path)

    def connectionLost(self, reason: Failure) -> None:
        """Remove the file and close the socket."""
        if self.in_place:
            with contextlib.suppress(OSError):
                self.path.unlink()
        super().connectionLost(reason)


class LocalHTTPPort(SocketPort):
    """Listens for HTTP on a UNIX socket."""


class CrawlerPort(SocketPort):
    """Listens for crawlers on a UNIX socket."""

    transport = CrawlerTransport


class InheritedPort(CrawlerPort):
    """Listens for crawlers on a socket that another process created and keeps open (socket activation).

    That process owns its path and mode. The socket is never shut down: crawlers would be refused until the next node
    listens.
    """

    _shouldShutdown = False

    def __init__(self, listening: socket.socket, factory: Factory, reactor: IReactorUNIX) -> None:
        super().__init__(listening.getsockname(), factory, reactor=reactor)
        self._listening = listening

    def startListening(self) -> None:
        """See :class:`twisted.internet.interfaces.IListeningPort`."""
        self.factory.doStart()  # type: ignore[union-attr]
        self.socket = self._listening
        self.fileno = self.socket.fileno  # type: ignore[method-assign]
        self.connected = True
        self.startReading()
        self.file = file_id(self.path)

    @property
    def in_place(self) -> bool:
        """Whether the file at the path is still this socket's, or was not accessible to begin with."""
        return self.file is None or super().in_place

    def connectionLost(self, reason: Failure) -> None:
        """Close this process's descriptor only."""
        Accepting.connectionLost(self, reason)
