"""The key file of the embedded database: beside the data, so that a copy of the data reveals no token."""

import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from copilot_socket.core.vault import VaultError, check_keys, new_key
from copilot_socket.store.embedded.errors import EmbeddedError

NAME = "secret-key"
_OTHERS = 0o077


def keys_in_use(state_dir: Path, given: Sequence[str], *, make: bool = True) -> tuple[str, ...]:
    """The keys in use, newest first: those *given*, then those of the file.

    With *make* the file is created if there is no key; the state directory must exist. Raises EmbeddedError for a
    file that can't be used.
    """
    path = state_dir / NAME
    try:
        if make and not given and not path.exists():
            _make(path)
        return (*given, *read(path)) if path.exists() else tuple(given)
    except OSError as error:
        raise EmbeddedError(
            f"the key of the embedded database's tokens, {path}: {error.strerror or error}"
        ) from error


def read(path: Path) -> tuple[str, ...]:
    """The keys in the file *path*, one per line, newest first. Raises EmbeddedError or OSError."""
    if path.stat().st_mode & _OTHERS:
        raise EmbeddedError(f"{path} holds the key of tokens and is accessible to other users: chmod 600 {path}")
    keys = tuple(path.read_text("ascii", errors="replace").split())
    try:
        check_keys(keys)
    except VaultError:
        raise EmbeddedError(f"{path} holds no Fernet key: restore it from a backup") from None
    return keys


def _make(path: Path) -> None:
    """Create the file atomically; of two nodes that start together the first one's key is kept."""
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{new_key()}\n")
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
