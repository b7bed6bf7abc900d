"""Small files with secrets that only their owner may read, made by whichever process needs them first."""

import contextlib
import os
import secrets
from pathlib import Path

_OTHERS = 0o077
_ROOT = 0


class PrivateFileError(Exception):
    """A file can't be used; the text names it, the cause and the remedy."""


def read_private(path: Path) -> str:
    """The content of *path*. Raises :class:`PrivateFileError` if other users may open or own it, or ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "r", encoding="ascii", errors="replace") as file:
        status, user = os.fstat(descriptor), os.geteuid()
        if status.st_mode & _OTHERS:
            raise PrivateFileError(f"{path} holds a secret and is accessible to other users: chmod 600 {path}")
        # Root also reads those of a node that runs as the owner of its state directory.
        owners = {_ROOT, user if user != _ROOT else path.parent.stat().st_uid}
        if status.st_uid not in owners:
            raise PrivateFileError(
                f"{path} holds a secret and belongs to another user (uid {status.st_uid}), who knows it: remove it, "
                f"or chown {user} {path} if that is right"
            )
        return file.read()


def make_private(path: Path, text: str) -> None:
    """Create *path* with *text*, atomically; of two processes the first one's file is kept. Raises ``OSError``."""
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(partial)
    finally:
        partial.unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
