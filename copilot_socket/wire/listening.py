"""The crawlers' UNIX socket: made with its mode, and put in the place of one that nobody listens on."""

import errno
import os
import socket
import stat
from pathlib import Path

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorUNIX
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from copilot_socket.locks import LockError, exclusive
from copilot_socket.wire.accepting import CrawlerPort, InheritedPort

BACKLOG = 1024
LOCK_PATIENCE = 10.0
"""Seconds that a start waits for another one on the same path, which takes some milliseconds."""

_log = Logger("copilot_socket.wire.listening")


class SocketError(Exception):
    """The socket can't be listened on; says why and what to do."""


def listen(
    reactor: IReactorUNIX, path: Path, mode: int, factory: Factory, patience: float = LOCK_PATIENCE
) -> CrawlerPort:
    """Listen on the UNIX socket *path*; its mode is *mode* before the first connection can be made.

    Missing directories are made. A socket that nobody listens on is replaced; one that is live never is. Waits up to
    *patience* seconds for another process that does the same. Raises :class:`SocketError`.
    """
    _make_directory(path.parent)
    lock = path.with_name(f"{path.name}.lock")
    try:
        _find_stale(path)
        # Two servers that start together must not both find the socket stale, and replace it.
        with exclusive(lock, patience, lambda text: _log.warn("{text}", text=text), keep=False):
            if _find_stale(path):
                _remove(path)
            port = CrawlerPort(str(path), factory, BACKLOG, mode, reactor)  # type: ignore[arg-type]
            port.startListening()
            return port
    except LockError as error:
        raise SocketError(f"can't listen on {path}: {error}, or set SOCKET_PATH") from error
    except (CannotListenError, OSError) as error:
        cause = error.socketError if isinstance(error, CannotListenError) else error
        raise SocketError(
            f"can't listen on {path}: {cause.strerror or cause}; let this user write to {path.parent} "
            f"(install -d -o USER {path.parent}), or set SOCKET_PATH"
        ) from error


def adopt(reactor: IReactorUNIX, listening: socket.socket, factory: Factory) -> InheritedPort:
    """Listen on a UNIX socket that another process made and keeps: it is never unlinked, nor its mode changed."""
    port = InheritedPort(listening, factory, reactor)
    port.startListening()
    return port


def probe(path: Path) -> str:
    """What is at *path*: ``free``, ``stale``, ``live``, or ``other`` (something that is no socket). Never waits.

    Whoever listens there notices nothing: a datagram socket is refused by a stream socket, but not as by nobody.
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
            # A missing right to connect says nothing: another user's socket is not ours to replace.
            return "stale" if error.errno in (errno.ECONNREFUSED, errno.ENOENT) else "live"
    return "live"


def _make_directory(directory: Path) -> None:
    """Make *directory* and its missing parents, which everyone may pass through, whatever the umask says."""
    for each in [*reversed(directory.parents), directory]:
        try:
            each.mkdir()
            each.chmod(0o755)
        except FileExistsError:
            continue
        except OSError as error:
            if os.path.isdir(each):  # noqa: PTH112 - Path.is_dir raises where it may not look; "/" of a read-only file system and the like
                continue
            raise SocketError(
                f"can't make the directory {directory} for the socket: {error.strerror}; "
                f"make it (install -d -o USER {directory}) or set SOCKET_PATH"
            ) from error


def _find_stale(path: Path) -> bool:
    """Whether a stale socket is at *path*; False where nothing is. Raises :class:`SocketError` for all else."""
    found = probe(path)
    if found == "live":
        raise SocketError(f"another server listens on {path}: stop it, or set SOCKET_PATH to another path")
    if found == "other":
        raise SocketError(f"{path} is there and is no socket: remove it, or set SOCKET_PATH to another path")
    return found == "stale"


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise SocketError(
            f"can't remove the stale socket {path}: {error.strerror}; remove it as root (rm {path})"
        ) from error
