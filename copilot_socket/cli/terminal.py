"""The whole terminal: the other screen, single keys, and the way back to how it was."""

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Any

from copilot_socket.cli.output import standard_output

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"
_LEAVE = "\x1b[?25h\x1b[?1049l"
_READ = 1024


class FullScreen:
    """The terminal of standard input and output, while it is entered. Restores it however the block is left.

    SIGTERM and SIGHUP leave it by SystemExit; Ctrl-Z gives the terminal back until the process goes on.
    """

    def __init__(self) -> None:
        self._keys = sys.stdin.fileno()
        self._before: list[Any] = []
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._woken, False)

    def __enter__(self) -> "FullScreen":
        self._before = termios.tcgetattr(self._keys)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _exit)
        signal.signal(signal.SIGTSTP, self._stop)
        signal.signal(signal.SIGWINCH, lambda *_: None)  # only wakes
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._take()
        return self

    def __exit__(self, *_error: object) -> None:
        signal.set_wakeup_fd(-1)
        self._give_back()

    def wake(self) -> None:
        """Have :meth:`keys` return; from any thread."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake, b"\0")

    def keys(self, timeout: float) -> Iterator[str]:
        """The keys that were pressed, once there are some, :meth:`wake` was called, or *timeout* seconds are over.

        Raises EOFError when the terminal is gone.
        """
        ready, _, _ = select.select([self._keys, self._woken], [], [], timeout)
        if self._woken in ready:
            os.read(self._woken, _READ)
        if self._keys in ready:
            given = os.read(self._keys, _READ)
            if not given:
                raise EOFError
            yield from keys_in(given.decode("utf-8", "ignore"))

    def show(self, lines: list[str]) -> None:
        """Draw *lines* from the top."""
        standard_output.write("\x1b[H" + "\r\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J")
        standard_output.flush()

    def _take(self) -> None:
        tty.setcbreak(self._keys)
        standard_output.write(_ENTER)
        standard_output.flush()

    def _give_back(self) -> None:
        termios.tcsetattr(self._keys, termios.TCSADRAIN, self._before)
        standard_output.write(_LEAVE)
        standard_output.flush()

    def _stop(self, *_: object) -> None:
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._stop)
        self._take()


def keys_in(given: str) -> Iterator[str]:
    """Single keys; those that send several characters (arrows and the like) are left out."""
    while given:
        if given.startswith("\x1b") and len(given) > 1 and given[1] in "[O":
            end = 2
            while end < len(given) and not "@" <= given[end] <= "~":
                end += 1
            given = given[end + 1 :]
        else:
            yield given[0]
            given = given[1:]


def _exit(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)
