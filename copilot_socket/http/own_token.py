"""How the node's own user gets in: ``http.sock``, and the token made where ``COPILOT_HTTP_TOKEN`` is unset."""

import os
import re
from pathlib import Path

from copilot_socket.core.access import new_token
from copilot_socket.directories import make_directories, state_mode
from copilot_socket.private_files import PrivateFileError, make_private, read_private

TOKEN = "http-token"
SOCKET = "http.sock"
"""Names of files in the state directory."""
_ROOT = 0
_REMEDY = "set COPILOT_HTTP_TOKEN, or COPILOT_STATE_DIR to a directory that this user may write to"


def own_token(state_dir: Path) -> str:
    """The token in *state_dir*, made if there is none. Raises :class:`.PrivateFileError`."""
    path = state_dir / TOKEN
    try:
        found = given_token(state_dir)
        if found is None:
            make_directories(state_dir, state_mode(os.geteuid() == _ROOT))
            make_private(path, f"{new_token()}\n")
            found = given_token(state_dir)
    except OSError as error:
        raise PrivateFileError(
            f"can't make a token for the HTTP API in {path}: {error.strerror}; {_REMEDY}"
        ) from error
    if found is None:
        raise PrivateFileError(f"{path} was removed while it was made; start again")
    return found


def given_token(state_dir: Path) -> str | None:
    """The token in *state_dir*; None if there is none. Raises :class:`.PrivateFileError` or ``OSError``."""
    path = state_dir / TOKEN
    try:
        token = read_private(path).strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not re.fullmatch("[!-~]{1,8192}", token):
        raise PrivateFileError(
            f"{path} holds no token of printable ASCII characters: remove it, and restart the node"
        )
    return token


def trusted_uids() -> frozenset[int]:
    """The users who need no token on ``http.sock``: the node's own, and root."""
    return frozenset({_ROOT, os.geteuid()})
