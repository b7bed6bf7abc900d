"""Waiting for other processes, with a timeout and a message. Locks are files that no other user can open."""

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
"""Called with a message about what is being waited for."""


class LockError(Exception):
    """A lock can't be acquired, for the reason in the message."""


class Patience:
    """A wait of at most *seconds*. After 2 s *tell* is called, once, with a message about *what* is waited for."""

    def __init__(self, seconds: float, tell: Tell, what: str) -> None:
        self._seconds = seconds
        self._tell = tell
        self._what = what
        self._begun = time.monotonic()
        self._reported = False

    @property
    def waited(self) -> float:
        """Seconds since the start of the wait."""
        return time.monotonic() - self._begun

    def wait(self, pause: float = _POLL) -> bool:
        """Block for *pause* seconds and return True, or return False immediately after the timeout."""
        waited = self.waited
        if waited >= self._seconds:
            return False
        if waited >= _SILENT and not self._reported:
            self._reported = True
            self._tell(f"waiting for {self._what}, for up to {self._seconds:.0f} s")
        time.sleep(pause)
        return True


def open_private(path: Path) -> int:
    """A descriptor of the lock file *path*, which is created with mode 600 if it is missing.

    Raises :class:`LockError` unless it is a regular file, owned by this user or the directory's owner, that no other
    user can open and thereby lock. Raises ``OSError`` if it can't be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        # A symbolic link, or another user's file. If nothing exists, the directory is not writable.
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
    """Lock an open file, exclusively or with LOCK_SH, without waiting; return whether that worked."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def exclusive(path: Path, seconds: float, tell: Tell, *, keep: bool = True) -> Iterator[None]:
    """Hold the lock file *path* exclusively; wait up to *seconds* for another process to release it.

    Without *keep* the file is removed at the end. Raises :class:`LockError` or ``OSError``.
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
    """The descriptor of the lock; None while another process holds it."""
    descriptor = open_private(path)
    held = False
    try:
        held = try_lock(descriptor) and _names(path, descriptor)
    finally:
        if not held:
            os.close(descriptor)
    return descriptor if held else None


def _names(path: Path, descriptor: int) -> bool:
    """Whether *path* still names the open file: the previous holder may have removed it."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
