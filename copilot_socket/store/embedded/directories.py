"""Directories of the embedded PostgreSQL. The mode of an existing directory is never changed."""

import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

from copilot_socket.directories import make_directories, state_mode
from copilot_socket.store.embedded.account import Account
from copilot_socket.store.embedded.errors import EmbeddedError

_ADVICE = "set COPILOT_STATE_DIR to a directory elsewhere, or DATABASE_URL to a PostgreSQL of your own"
SOCKET_NAME = ".s.PGSQL.5432"
_SUN_PATH = 107
_SHORT_PREFIX = "copilot-postgres-"
_SHORT_DIRECTORY = re.compile(rf"/tmp/{_SHORT_PREFIX}[^/]+")


def first_closed(path: Path, account: Account) -> Path | None:
    """The topmost directory of `path` (itself included, if it exists) that `account` can't search."""
    resolved = path.resolve()
    for directory in [*reversed(resolved.parents), resolved]:
        if os.path.isdir(directory) and not account.may(os.X_OK, directory):  # noqa: PTH112 - Path.is_dir may raise
            return directory
    return None


def refuse_closed_parents(state_dir: Path, account: Account) -> None:
    """Raise EmbeddedError if the database user can't reach the state directory."""
    closed = first_closed(state_dir, account)
    if closed is not None and account.lent:
        raise EmbeddedError(
            f"the database's user may not search {closed}, a parent of the state directory {state_dir}: {_ADVICE}"
        )


def make_state_dir(state_dir: Path, account: Account) -> Path:
    """Create the state directory and its missing parents; return its resolved path. Raises EmbeddedError."""
    refuse_closed_parents(state_dir, account)
    try:
        make_directories(state_dir, state_mode(account.lent))
    except OSError as error:
        raise EmbeddedError(f"can't create the state directory {state_dir} ({error}): {_ADVICE}") from error
    _refuse_shared(state_dir, account)
    return state_dir.resolve()


def _refuse_shared(state_dir: Path, account: Account) -> None:
    """Raise EmbeddedError for a directory that other users own or may write to."""
    status = state_dir.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise EmbeddedError(f"the state directory {state_dir} is not a directory: {_ADVICE}")
    if status.st_mode & stat.S_IWOTH:
        raise EmbeddedError(f"anyone may write to the state directory {state_dir}: {_ADVICE}")
    if status.st_uid not in (0, os.geteuid(), account.uid):
        raise EmbeddedError(f"the state directory {state_dir} belongs to another user: {_ADVICE}")


def make_owned(directory: Path, account: Account) -> None:
    """Create a private directory of the database user."""
    directory.mkdir()
    directory.chmod(0o700)
    account.own(directory)


def socket_directory(data_dir: Path, account: Account) -> Path:
    """The directory of sockets: the data directory, or a new one if no client can name a socket there.

    The path may be too long, or contain a comma, at which clients split host names. The new directory has a random
    name; it is found again through postmaster.pid.
    """
    path = os.fsencode(data_dir / SOCKET_NAME)
    if len(path) <= _SUN_PATH and b"," not in path:
        return data_dir
    short = Path(tempfile.mkdtemp(prefix=_SHORT_PREFIX, dir="/tmp"))
    account.own(short)
    return short


def remove_short(directory: Path, account: Account) -> None:
    """Remove a directory that `socket_directory` has created; leave any other alone."""
    if not _SHORT_DIRECTORY.fullmatch(str(directory)):
        return
    try:
        status = directory.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode) and status.st_uid == account.uid:
        shutil.rmtree(directory, ignore_errors=True)
