"""The process at the other end of a UNIX socket: pid, start time, namespace, uid (unix(7), SO_PEERCRED; proc(5))."""

import socket
import struct
from functools import cache
from pathlib import Path

import attrs

_UCRED = struct.Struct("3i")


@attrs.frozen
class Peer:
    """A process, distinguished from those with the same pid later, on another machine or in another namespace."""

    pid: int
    uid: int
    start_time: str
    namespace: str
    boot: str

    @property
    def key(self) -> str:
        """The identity under which the leases of this process are stored."""
        return f"pid:{self.boot}:{self.namespace}:{self.pid}:{self.start_time}:{self.uid}"


def _credentials(connection: socket.socket) -> tuple[int, int]:
    """Pid and uid of the other end. Raises ``OSError`` if the system does not say."""
    if not hasattr(socket, "SO_PEERCRED") or connection.family != socket.AF_UNIX:
        raise OSError("not the socket of a local process")
    pid, uid, _gid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return pid, uid


def read_uid(connection: socket.socket) -> int | None:
    """The user at the other end of *connection*; None if the system does not say."""
    try:
        return _credentials(connection)[1]
    except OSError:
        return None


def read_peer(connection: socket.socket) -> Peer | None:
    """The process at the other end of *connection*; None if the system does not say."""
    try:
        pid, uid = _credentials(connection)
        if pid <= 0:  # it is in a PID namespace that is not visible from this one
            return None
        proc = Path("/proc") / str(pid)
        # The command in parentheses may itself contain parentheses; the start time is the 20th field behind it.
        start_time = (proc / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19]
        try:
            namespace = (proc / "ns" / "pid").readlink().name
        except PermissionError:  # another user's process; SO_PEERCRED gives pids of our own namespace anyway
            namespace = "own"
    except (OSError, IndexError):
        return None
    return Peer(pid, uid, start_time, namespace, _boot_id())


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return socket.gethostname()
