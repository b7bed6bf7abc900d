"""One PostgreSQL server process: how it is started, found and stopped."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import attrs

from copilot_socket.locks import Patience, Tell
from copilot_socket.store.embedded.account import Account
from copilot_socket.store.embedded.binaries import Programs
from copilot_socket.store.embedded.directories import SOCKET_NAME
from copilot_socket.store.embedded.errors import EmbeddedError

_POLL = 0.005  # seconds
_START_PATIENCE = 300.0  # seconds; a recovery after a crash takes its time
_STOP_PATIENCE = 60.0
_LITTLE_SPACE = 2**20  # bytes
_BEYOND_ANY_PID = 2**31 - 1  # Linux ends at 2**22
_OVER = frozenset("ZX")  # states of a process: zombie, dead (proc_pid_stat(5))
# Lines of postmaster.pid (LOCK_FILE_LINE_* in PostgreSQL's pidfile.h).
_PID_LINE, _SOCKET_DIR_LINE, _STATUS_LINE = 0, 4, 7
# The shell exits immediately: the server is no child of the node, and outlives it.
_DETACH = '"$@" >&2 & echo $!'


@attrs.frozen
class PidFile:
    """The content of `postmaster.pid`."""

    pid: int
    socket_dir: Path | None
    status: str

    @classmethod
    def read(cls, data_dir: Path) -> "PidFile | None":
        """Read the file; None if there is none, or it is cut short before the pid."""
        try:
            lines = (data_dir / "postmaster.pid").read_text(errors="surrogateescape").splitlines()
            pid = int(lines[_PID_LINE])
        except (FileNotFoundError, ValueError, IndexError):
            return None
        socket_dir = lines[_SOCKET_DIR_LINE].strip() if len(lines) > _SOCKET_DIR_LINE else ""
        status = lines[_STATUS_LINE].strip() if len(lines) > _STATUS_LINE else ""
        return cls(pid, Path(socket_dir) if socket_dir else None, status)


def running(data_dir: Path) -> PidFile | None:
    """The server that runs on this data directory; None without one, also if a dead one has left its file."""
    found = PidFile.read(data_dir)
    return found if found is not None and _serves(found.pid, data_dir) else None


def _serves(pid: int, data_dir: Path) -> bool:
    """Whether process `pid` is a server on `data_dir`: pids are reused."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    if Path(os.fsdecode(arguments[0])).name != "postgres":
        return False  # a zombie has no command line at all
    # Without -D it was started by hand; a server works in its data directory.
    by_hand = b"-D" not in arguments[:-1]
    served = Path(f"/proc/{pid}/cwd" if by_hand else os.fsdecode(arguments[arguments.index(b"-D") + 1]))
    try:
        return served.samefile(data_dir)
    except OSError:
        return False


def clear_remains(data_dir: Path) -> Path | None:
    """Remove files of a server that was killed, which would stop a new one; return its socket directory.

    A new server would take any process of its user with the old pid (a zombie too) for the old server. In
    postmaster.pid only the pid is invalidated: by the rest the new server finds out whether backends of the old one
    are still running. Raises OSError.
    """
    stale = PidFile.read(data_dir)
    path = data_dir / "postmaster.pid"
    for name in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):
        (data_dir / name).unlink(missing_ok=True)
    if stale is None:
        path.unlink(missing_ok=True)  # cut short by a crash of the machine
        return None
    rest = path.read_bytes().partition(b"\n")[2]
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(b"%d\n" % _BEYOND_ANY_PID + rest)
    return stale.socket_dir


def launch(
    programs: Programs, data_dir: Path, settings: Mapping[str, str], account: Account, log: Path, tell: Tell
) -> PidFile:
    """Start a server in a session of its own (no Ctrl-C reaches it) and wait until it is ready.

    *tell* is called with a line about a long wait. Raises EmbeddedError with the last lines of the log.
    """
    command = [programs["postgres"], "-D", str(data_dir)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(log, flags, 0o600)
    try:
        shell = subprocess.run(
            ["/bin/sh", "-c", _DETACH, "sh", *command],
            stdout=subprocess.PIPE,
            stderr=descriptor,
            start_new_session=True,
            check=True,
            **account.process_options(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedError(f"PostgreSQL could not be started: {error}") from error
    finally:
        os.close(descriptor)
    return _wait_ready(int(shell.stdout), data_dir, log, tell)


def _wait_ready(pid: int, data_dir: Path, log: Path, tell: Tell) -> PidFile:
    patience = Patience(_START_PATIENCE, tell, f"PostgreSQL (pid {pid}) to start; see {log}")
    while True:
        found = PidFile.read(data_dir)
        if found is not None and found.pid == pid and found.status == "ready":
            return found
        if not _exists(pid):
            raise EmbeddedError(
                f"PostgreSQL stopped while starting; {log} ends with:\n{tail(log)}{_full(log.parent)}"
            )
        if not patience.wait(_POLL):
            raise EmbeddedError(
                f"PostgreSQL is not ready after {_START_PATIENCE:.0f} s; {log} ends with:\n{tail(log)}"
            )


def _full(directory: Path) -> str:
    """A line to add to an error if the disk is full, which PostgreSQL may be unable to log."""
    free = os.statvfs(directory)
    return f"\nno space is left in {directory}" if free.f_bavail * free.f_frsize < _LITTLE_SPACE else ""


def wait_settled(data_dir: Path, tell: Tell) -> PidFile | None:
    """Wait until the server is ready, or has stopped (None). Raises EmbeddedError if neither happens."""
    patience = Patience(_START_PATIENCE, tell, f"the PostgreSQL on {data_dir}, which is starting or stopping")
    while (found := running(data_dir)) is not None:
        if found.status == "ready":
            return found
        if not patience.wait(_POLL):
            raise EmbeddedError(
                f"the PostgreSQL on {data_dir} (pid {found.pid}) is still {found.status or 'without a status'}"
            )
    return None


def terminate(data_dir: Path, tell: Tell) -> None:
    """Stop the server (fast shutdown: clients are disconnected). Raises EmbeddedError."""
    found = running(data_dir)
    if found is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(found.pid, signal.SIGINT)
    patience = Patience(_STOP_PATIENCE, tell, f"PostgreSQL (pid {found.pid}) to stop")
    while _exists(found.pid):
        if not patience.wait(_POLL):
            raise EmbeddedError(f"PostgreSQL (pid {found.pid}) has not stopped after {_STOP_PATIENCE:.0f} s")


def _exists(pid: int) -> bool:
    """Whether the process exists and is not a zombie, by its state.

    The command line does not show that: it is empty during an execve, too.
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in _OVER


def tail(log: Path, size: int = 2000) -> str:
    """The last lines of the log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - size))
            return file.read().decode(errors="replace").strip()
    except OSError as error:
        return str(error)
