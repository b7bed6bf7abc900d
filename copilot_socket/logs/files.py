"""Output of log lines. Writing never raises: the node works on when its log can't be written."""

import contextlib
import errno
import os
import sys
from pathlib import Path

from twisted.logger import Logger

_MODE = 0o640
"""Mode of new log files, which contain ids and names."""


class Output:
    """Writes whole lines to the descriptor *fd*, unbuffered. Lines that can't be written are counted and reported."""

    log = Logger()

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self.name = name
        self._lost = 0
        self._torn = False

    def write(self, line: str) -> None:
        """Write *line*, which includes its newline."""
        data = line.encode("utf-8", "backslashreplace")
        try:
            self._write_all(b"\n" + data if self._torn else data)
        except OSError as error:
            self._failed(error)
        else:
            self._written()

    def flush(self) -> None:
        """Do nothing: lines are not buffered."""

    def _write_all(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]
            self._torn = bool(data)

    def _failed(self, error: OSError) -> None:
        self._lost += 1
        if self._lost == 1 and sys.__stderr__ is not None:
            with contextlib.suppress(OSError, ValueError):
                sys.__stderr__.write(f"copilot-socket: can't write to the log ({self.name}): {error.strerror}\n")
                sys.__stderr__.flush()

    def _written(self) -> None:
        if self._lost:
            lost, self._lost = self._lost, 0
            self.log.error("{count} log lines could not be written to {path}", count=lost, path=self.name)


class LogFile(Output):
    """Appends to the file *path*. Raises ``OSError`` if it can't be opened."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()  # the working directory may change
        super().__init__(self._open(), str(path))

    def reopen(self) -> None:
        """Open the path again after the file was renamed. Raises ``OSError``; then the old file stays in use."""
        new = self._open()
        # Atomically: another thread may be writing.
        os.dup2(new, self._fd, inheritable=False)
        os.close(new)
        self._torn = False

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _open(self) -> int:
        # O_NONBLOCK: a named pipe without a reader is an error, and a full one loses lines instead of blocking.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_NONBLOCK
        return os.open(self._path, flags, _MODE)


def standard_output() -> Output:
    """Standard output as the process inherited it. Raises ``OSError`` if it is closed."""
    if sys.__stdout__ is None:  # its descriptor may belong to another file by now
        raise OSError(errno.EBADF, "standard output is closed")
    return Output(sys.__stdout__.fileno(), "standard output")
