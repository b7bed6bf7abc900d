"""The user that PostgreSQL runs as. It refuses to run as root, so root gives it a system user."""

import os
import pwd
import subprocess
import time
from pathlib import Path
from typing import Any

import attrs

from copilot_socket.store.embedded.errors import EmbeddedError

SYSTEM_USER = "copilot-postgres"
_ROOT = 0
_NOBODY_YET = -1
_CREATE = (
    "useradd",
    "--system",
    "--user-group",
    "--no-create-home",
    "--home-dir=/nonexistent",
    "--shell=/usr/sbin/nologin",
    SYSTEM_USER,
)


@attrs.frozen
class Account:
    """The user and group of the database's processes and files; `lent` if they are not those of this process."""

    uid: int
    gid: int
    lent: bool

    def process_options(self) -> dict[str, Any]:
        """Arguments of `subprocess` for a process of this account that inherits nothing but its output."""
        options: dict[str, Any] = {
            "cwd": "/",
            "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C"},  # no PGPORT, PGDATA, LD_PRELOAD …
            "stdin": subprocess.DEVNULL,
            "umask": 0o077,
        }
        if self.lent:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def may(self, wanted: int, path: Path) -> bool:
        """Whether the mode bits of `path` give this account the rights `wanted` (as in os.X_OK)."""
        status = path.stat()
        if status.st_uid == self.uid:
            granted = status.st_mode >> 6
        elif status.st_gid == self.gid:
            granted = status.st_mode >> 3
        else:
            granted = status.st_mode
        return granted & wanted == wanted

    def own(self, path: Path) -> None:
        """Make this account the owner of a file or directory."""
        if self.lent:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def database_account() -> Account:
    """The account of this process, or as root the system user, created if missing. Raises EmbeddedError."""
    return _own() or _lookup() or _created()


def expected_account() -> Account:
    """The account that :func:`database_account` will return; a missing system user owns no directory yet."""
    return _own() or _lookup() or Account(_NOBODY_YET, _NOBODY_YET, lent=True)


def _own() -> Account | None:
    return None if os.geteuid() == _ROOT else Account(os.geteuid(), os.getegid(), lent=False)


def _lookup() -> Account | None:
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return None
    return Account(entry.pw_uid, entry.pw_gid, lent=True)


def _created() -> Account:
    reason = ""
    for _ in range(10):
        try:
            result = subprocess.run(_CREATE, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
            reason = result.stderr.strip()
        except OSError as error:
            reason = str(error)
        account = _lookup()  # another process may have created it meanwhile
        if account is not None:
            return account
        if "lock" not in reason:
            break
        time.sleep(0.1)
    raise EmbeddedError(
        f"PostgreSQL refuses to run as root, and the system user {SYSTEM_USER} could not be created ({reason}). "
        f"Create it (useradd --system {SYSTEM_USER}), start as an ordinary user, or set DATABASE_URL."
    )
