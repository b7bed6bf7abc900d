"""The UNIX socket: made with the right mode, found stale or live by trying to connect."""

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorUNIX
from twisted.internet.protocol import Factory

from copilot_socket.wire.transport import CrawlerPort, InheritedPort

BACKLOG = 1024
PROBE_TIMEOUT = 2.0


class SocketError(Exception):
    """The socket can't be listened on; says why and what to do."""


def listen(reactor: IReactorUNIX, path: Path, mode: int, factory: Factory) -> IListeningPort:
    """Listen on the UNIX socket *path*; its mode is *mode* before the first connection can be made.

    Missing directories are made. A socket that nobody listens on is replaced; one that is live never is.
    Raises :class:`SocketError`.
    """
    _make_directory(path.parent)
    with _sole_starter(path):
        _remove_stale(path)
        try:
            port = CrawlerPort(str(path), factory, BACKLOG, mode, reactor)  # type: ignore[arg-type]
            port.startListening()
            return port
        except CannotListenError as error:
            raise SocketError(
                f"can't listen on {path}: {error.socketError}; let this user write to {path.parent} "
                f"(install -d -o USER {path.parent}), or set SOCKET_PATH"
            ) from error


def adopt(reactor: IReactorUNIX, listening: socket.socket, factory: Factory) -> IListeningPort:
    """Listen on a UNIX socket that another process made and keeps: it is never unlinked, nor its mode changed."""
    port = InheritedPort(listening, factory, reactor)
    port.startListening()
    return port


def probe(path: Path) -> str:
    """What is at *path*: ``free``, ``stale``, ``live``, or ``other`` (something that is no socket)."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return "other"
    except FileNotFoundError:
        return "free"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knocking:
        knocking.settimeout(PROBE_TIMEOUT)
        try:
            knocking.connect(str(path))
        except OSError as error:
            # A full backlog or a missing right to connect both mean that somebody listens.
            return "stale" if error.errno in (errno.ECONNREFUSED, errno.ENOENT) else "live"
    return "live"


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise SocketError(
            f"can't make the directory {directory} for the socket: {error.strerror}; "
            f"make it (install -d -o USER {directory}) or set SOCKET_PATH"
        ) from error


def _remove_stale(path: Path) -> None:
    found = probe(path)
    if found == "live":
        raise SocketError(f"another server listens on {path}: stop it, or set SOCKET_PATH to another path")
    if found == "other":
        raise SocketError(f"{path} is there and is no socket: remove it, or set SOCKET_PATH to another path")
    if found == "stale":
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise SocketError(
                f"can't remove the stale socket {path}: {error.strerror}; remove it as root (rm {path})"
            ) from error


@contextmanager
def _sole_starter(path: Path) -> Iterator[None]:
    """Two servers that start together must not both find the socket stale."""
    try:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise SocketError(f"can't use the directory {path.parent} of the socket: {error.strerror}") from error
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)
