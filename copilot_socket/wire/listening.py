"""UNIX sockets: created with their mode; they replace stale ones."""

import errno
import socket
import stat
from pathlib import Path

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorUNIX
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from copilot_socket.directories import make_directories
from copilot_socket.locks import LockError, exclusive
from copilot_socket.wire.accepting import CrawlerPort, InheritedPort, SocketPort

BACKLOG = 1024
LOCK_PATIENCE = 10.0
"""Seconds to wait for another start on the same path, which takes some milliseconds."""

_log = Logger("copilot_socket.wire.listening")


class SocketError(Exception):
    """Listening failed; the text gives cause and remedy."""


def listen(
    reactor: IReactorUNIX,
    path: Path,
    mode: int,
    factory: Factory,
    patience: float = LOCK_PATIENCE,
    *,
    port: type[SocketPort] = CrawlerPort,
    variable: str = "SOCKET_PATH",
    directory_mode: int = 0o755,
) -> SocketPort:
    """Listen on the UNIX socket *path*; it has *mode* before the first connection is possible.

    Missing directories are created, with *directory_mode*. A stale socket is replaced, a live one never. Waits up to
    *patience* seconds for another process that starts on the same path. Raises :class:`SocketError`, which names the
    *variable* to set.
    """
    try:
        make_directories(path.parent, directory_mode)
    except OSError as error:
        raise SocketError(
            f"can't make the directory {path.parent} for the socket: {error.strerror}; "
            f"make it (install -d -o USER {path.parent}) or set {variable}"
        ) from error
    lock = path.with_name(f"{path.name}.lock")
    try:
        _find_stale(path, variable)
        # Under a lock: two servers that start together would both find the socket stale and replace it.
        with exclusive(lock, patience, lambda text: _log.warn("{text}", text=text), keep=False):
            if _find_stale(path, variable):
                _remove(path)
            listening = port(str(path), factory, BACKLOG, mode, reactor)
            listening.startListening()
            return listening
    except LockError as error:
        raise SocketError(f"can't listen on {path}: {error}, or set {variable}") from error
    except (CannotListenError, OSError) as error:
        cause = error.socketError if isinstance(error, CannotListenError) else error
        raise SocketError(
            f"can't listen on {path}: {cause.strerror or cause}; let this user write to {path.parent} "
            f"(install -d -o USER {path.parent}), or set {variable}"
        ) from error


def adopt(reactor: IReactorUNIX, listening: socket.socket, factory: Factory) -> InheritedPort:
    """Listen on a UNIX socket that another process created and owns: neither its file nor its mode is changed."""
    port = InheritedPort(listening, factory, reactor)
    port.startListening()
    return port


def probe(path: Path) -> str:
    """What is at *path*: ``free``, ``stale``, ``live``, or ``other`` (not a socket). Never blocks.

    A server listening there notices nothing: a datagram socket can't connect to its stream socket, but fails with
    another error than on a stale one.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return "other"
    except (FileNotFoundError, NotADirectoryError):
        return "free"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probing:
        try:
            probing.connect(str(path))
        except OSError as error:
            # EACCES does not tell whether the socket is stale, and another user's socket must not be replaced.
            return "stale" if error.errno in (errno.ECONNREFUSED, errno.ENOENT) else "live"
    return "live"


def _find_stale(path: Path, variable: str) -> bool:
    """Whether a stale socket is at *path*; False if nothing is. Raises :class:`SocketError` for anything else."""
    found = probe(path)
    if found == "live":
        raise SocketError(f"another server listens on {path}: stop it, or set {variable} to another path")
    if found == "other":
        raise SocketError(f"{path} exists and is not a socket: remove it, or set {variable} to another path")
    return found == "stale"


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise SocketError(
            f"can't remove the stale socket {path}: {error.strerror}; remove it as root (rm {path})"
        ) from error
