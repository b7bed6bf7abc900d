"""Who PostgreSQL runs as. It refuses to run as root, so root lends it a system user of its own."""

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
    """The user and group of the database's processes and files; `lent` when it is not our own."""

    uid: int
    gid: int
    lent: bool

    def process_options(self) -> dict[str, Any]:
        """Arguments of `subprocess` that make a process of this account with nothing of ours but its output."""
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
        """Give a file or directory that we made to this account."""
        if self.lent:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def database_account() -> Account:
    """Ourselves, or as root the system user, which is made when missing. Raises EmbeddedError."""
    return _ourselves() or _lookup() or _created()


def expected_account() -> Account:
    """The same without making anything: a system user that is still missing owns no directory yet."""
    return _ourselves() or _lookup() or Account(_NOBODY_YET, _NOBODY_YET, lent=True)


def _ourselves() -> Account | None:
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
        account = _lookup()  # another process may have made it meanwhile
        if account is not None:
            return account
        if "lock" not in reason:
            break
        time.sleep(0.1)
    raise EmbeddedError(
        f"PostgreSQL refuses to run as root, and the system user {SYSTEM_USER} could not be made ({reason}). "
        f"Make it (useradd --system {SYSTEM_USER}), start as an ordinary user, or set DATABASE_URL."
    )
