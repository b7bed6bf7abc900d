"""The processes of this machine that use the embedded database. The kernel releases the lock of one that dies."""

import fcntl
import os
from pathlib import Path

from copilot_socket.locks import LockError, open_private, try_lock


class Presence:
    """A shared lock: this process uses the database, from before it connects until `leave` or its death."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def enter(self) -> None:
        """Take the lock. Raises LockError if another process holds it exclusively, which no node does."""
        if self._descriptor is None:
            descriptor = open_private(self._path)
            if not try_lock(descriptor, fcntl.LOCK_SH):
                os.close(descriptor)
                raise LockError(f"another process holds {self._path} exclusively (fuser {self._path} shows which)")
            self._descriptor = descriptor

    def leave(self) -> None:
        """Release the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def others(self) -> bool:
        """Whether another process holds the lock; call it after `leave`."""
        descriptor = open_private(self._path)
        try:
            return not try_lock(descriptor)
        finally:
            os.close(descriptor)
