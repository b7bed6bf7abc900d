"""Where lines go. Writing never raises: a log that can't be written is no reason to stop working."""

import contextlib
import errno
import os
import sys
from pathlib import Path

from twisted.logger import Logger

_MODE = 0o640
"""Of a log file that is made: ids and names in it are not everybody's business."""


class Output:
    """Whole lines to the descriptor *fd*, each at once. Those that can't be written are counted and told of."""

    log = Logger()

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self.name = name
        self._lost = 0
        self._torn = False

    def write(self, line: str) -> None:
        """Write *line*, which brings its newline."""
        data = line.encode("utf-8", "backslashreplace")
        try:
            self._write_all(b"\n" + data if self._torn else data)
        except OSError as error:
            self._failed(error)
        else:
            self._written()

    def flush(self) -> None:
        """Nothing is held back."""

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
    """The end of the file *path*. Raises ``OSError`` if it can't be opened."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()  # the working directory may change
        super().__init__(self._open(), str(path))

    def reopen(self) -> None:
        """Follow the name after the file was moved away. Raises ``OSError``; the old file then stays in use."""
        new = self._open()
        # In one step: a thread may be writing.
        os.dup2(new, self._fd, inheritable=False)
        os.close(new)
        self._torn = False

    def close(self) -> None:
        """Be done with it."""
        os.close(self._fd)

    def _open(self) -> int:
        # A pipe that nobody reads is an error; one that is read too slowly costs lines.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_NONBLOCK
        return os.open(self._path, flags, _MODE)


def standard_output() -> Output:
    """Standard output as the process got it. Raises ``OSError`` if it is closed."""
    if sys.__stdout__ is None:  # its number may meanwhile belong to another file
        raise OSError(errno.EBADF, "standard output is closed")
    return Output(sys.__stdout__.fileno(), "standard output")
