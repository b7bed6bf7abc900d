"""Waiting for other processes: with an end, and not without a word. Locks are files that no other user can open."""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_POLL = 0.02  # seconds
_SILENT = 2.0  # seconds of waiting before it is reported
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

Tell = Callable[[str], None]
"""Who is told what is being waited for."""


class LockError(Exception):
    """A lock can't be had; says why."""


class Patience:
    """A wait of at most *seconds*. *tell* is told *what* is waited for when it takes longer than a moment."""

    def __init__(self, seconds: float, tell: Tell, what: str) -> None:
        self._seconds = seconds
        self._tell = tell
        self._what = what
        self._begun = time.monotonic()
        self._told = False

    @property
    def waited(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begun

    def wait(self, pause: float = _POLL) -> bool:
        """Wait for *pause* seconds; False, at once, when patience is at an end. Blocks."""
        waited = self.waited
        if waited >= self._seconds:
            return False
        if waited >= _SILENT and not self._told:
            self._told = True
            self._tell(f"waiting for {self._what}, for up to {self._seconds:.0f} s")
        time.sleep(pause)
        return True


def open_private(path: Path) -> int:
    """A descriptor of the lock file *path*, which is made with mode 600 if it is missing.

    Raises :class:`LockError` unless it is a plain file, of this user or of the directory's owner, that nobody else
    can open: whoever can open a file can lock it. Raises ``OSError`` where it can't be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        # A link, or another user's file; where nothing is there, it is the directory that can't be written to.
        if error.errno in (errno.EACCES, errno.EPERM, errno.ELOOP) and os.path.lexists(path):
            raise LockError(f"{path} is not a lock file of this user's alone: remove it") from error
        raise
    try:
        status = os.fstat(descriptor)
        ours = status.st_uid in (os.geteuid(), path.parent.stat().st_uid)
        if not (stat.S_ISREG(status.st_mode) and ours and status.st_nlink <= 1 and not status.st_mode & _OTHERS):
            raise LockError(f"{path} is not a lock file of this user's alone: remove it")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file at once, exclusively or with LOCK_SH; whether that worked."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def exclusive(path: Path, seconds: float, tell: Tell, *, keep: bool = True) -> Iterator[None]:
    """Hold the lock file *path* alone; wait up to *seconds* for another process that does.

    Without *keep* the file is removed in the end. Raises :class:`LockError` or ``OSError``.
    """
    patience = Patience(seconds, tell, f"{path}, which another process holds (fuser {path} shows which)")
    while (descriptor := _take(path)) is None:
        if not patience.wait():
            waited = f"{patience.waited:.0f} s"
            raise LockError(f"another process holds {path}, and has for {waited} (fuser {path} shows which)")
    try:
        yield
    finally:
        if not keep:
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _take(path: Path) -> int | None:
    """The descriptor of the lock, None while another process has it."""
    descriptor = open_private(path)
    held = False
    try:
        held = try_lock(descriptor) and _names(path, descriptor)
    finally:
        if not held:
            os.close(descriptor)
    return descriptor if held else None


def _names(path: Path, descriptor: int) -> bool:
    """Whether *path* still is the open file: the holder before may have removed it."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
