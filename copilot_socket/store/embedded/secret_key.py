"""The key file of the embedded database: beside the data, so that a copy of the data reveals no token."""

from collections.abc import Sequence
from pathlib import Path

from copilot_socket.core.vault import VaultError, check_keys, new_key
from copilot_socket.private_files import PrivateFileError, make_private, read_private
from copilot_socket.store.embedded.errors import EmbeddedError

NAME = "secret-key"


def keys_in_use(state_dir: Path, given: Sequence[str], *, make: bool = True) -> tuple[str, ...]:
    """The keys in use, newest first: those *given*, then those of the file.

    With *make* the file is created if there is no key; the state directory must exist. Raises EmbeddedError for a
    file that can't be used.
    """
    path = state_dir / NAME
    try:
        if make and not given and not path.exists():
            make_private(path, f"{new_key()}\n")
        return (*given, *read(path)) if path.exists() else tuple(given)
    except OSError as error:
        raise EmbeddedError(
            f"the key of the embedded database's tokens, {path}: {error.strerror or error}"
        ) from error


def read(path: Path) -> tuple[str, ...]:
    """The keys in the file *path*, one per line, newest first. Raises EmbeddedError or OSError."""
    try:
        keys = tuple(read_private(path).split())
        check_keys(keys)
    except PrivateFileError as error:
        raise EmbeddedError(str(error)) from None
    except VaultError:
        raise EmbeddedError(f"{path} holds no Fernet key: restore it from a backup") from None
    return keys
