"""Listening sockets: how connections are accepted, and whose file a socket's is."""

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

from copilot_socket.wire.transport import CrawlerTransport

ACCEPTS = 5
"""Connections that are accepted in one turn of the reactor: those for whom there is no room go in the next."""
RETRY = 0.5
"""Seconds before the next attempt where the system had no descriptor or memory for a connection."""
REPORTS = 60.0
"""Seconds between two log lines about that."""

Identity = tuple[int, int]
"""Device and inode of a file."""


def identity(path: Path) -> Identity | None:
    """Which file *path* is; None where there is none, or it can't be seen."""
    try:
        status = path.lstat()
    except (OSError, ValueError):  # an abstract socket's name has a zero
        return None
    return status.st_dev, status.st_ino


class Accepting:
    """Goes before a port class of Twisted's. Whoever can't be accepted for lack of a descriptor waits for one.

    Twisted's own port closes such connections, or, where even its spare descriptor is gone or the whole system is out
    of them, is woken again and again without a pause.
    """

    log = Logger()
    _resumption: IDelayedCall | None = None
    _reported = float("-inf")

    def doRead(self: Any) -> None:
        """Accept what waits."""
        for _ in range(ACCEPTS):
            try:
                connection, address = self.socket.accept()
            except BlockingIOError:
                return
            except (ConnectionAbortedError, PermissionError, InterruptedError):
                continue  # it has gone, or a packet filter refused it
            except OSError as error:
                self._back_off(error)
                return
            try:
                self._begin(connection, address)
            except Exception:
                self.log.failure("A connection could not be served")

    def _begin(self: Any, connection: socket.socket, address: Any) -> None:
        protocol = self.factory.buildProtocol(self._buildAddr(address))
        if protocol is None:
            connection.close()
            return
        number, self.sessionno = self.sessionno, self.sessionno + 1
        protocol.makeConnection(self.transport(connection, protocol, address, self, number, self.reactor))

    def _back_off(self: Any, error: OSError) -> None:
        now = self.reactor.seconds()
        if now - self._reported >= REPORTS:
            self._reported = now
            self.log.error("No connection can be accepted: {error}. They wait.", error=error.strerror)
        self.stopReading()
        self._resumption = self.reactor.callLater(RETRY, self._resume)

    def _resume(self: Any) -> None:
        self._resumption = None
        if self.connected and not self.disconnecting:
            self.startReading()

    def connectionLost(self: Any, reason: Failure) -> None:
        """Close the socket."""
        if self._resumption is not None:
            self._resumption.cancel()
            self._resumption = None
        # Past Twisted's port for UNIX sockets, which removes whatever is at its path, and fails where nothing is.
        tcp.Port.connectionLost(self, reason)


class HTTPPort(Accepting, tcp.Port):
    """Listens for HTTP."""


class CrawlerPort(Accepting, unix.Port):
    """Listens for crawlers on a socket of its own; in the end its file is removed, if it still is this socket's."""

    transport = CrawlerTransport
    identity: Identity | None = None
    """The socket's file, as it was made."""

    @property
    def path(self) -> Path:
        """The path that crawlers connect to."""
        return Path(os.fsdecode(self._bindPath))

    @property
    def in_place(self) -> bool:
        """Whether the file at the path still is this socket's."""
        return self.identity is not None and identity(self.path) == self.identity

    def startListening(self) -> None:
        """See :class:`twisted.internet.interfaces.IListeningPort`."""
        super().startListening()
        self.identity = identity(self.path)

    def connectionLost(self, reason: Failure) -> None:
        """Remove the file and close the socket."""
        if self.in_place:
            with contextlib.suppress(OSError):
                self.path.unlink()
        super().connectionLost(reason)


class InheritedPort(CrawlerPort):
    """Listens for crawlers on a socket that another process made and keeps.

    Its path and mode are that process's. Shutting it down would have crawlers refused before the next node is up.
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
        self.identity = identity(self.path)

    @property
    def in_place(self) -> bool:
        """Whether the file at the path still is this socket's, or can't be seen from here anyway."""
        return self.identity is None or super().in_place

    def connectionLost(self, reason: Failure) -> None:
        """Close this process's descriptor, and nothing else."""
        Accepting.connectionLost(self, reason)
