"""Output of commands: lines for people, JSON for programs. Only this module writes to the standard streams."""

import contextlib
import io
import json
import os
import select
import signal
import sys
import threading
from argparse import SUPPRESS, Action, ArgumentParser
from typing import Any, TextIO

from copilot_socket import __version__
from copilot_socket.cli.errors import CommandError
from copilot_socket.cli.style import Screen, Styled, screen_on
from copilot_socket.core.printing import printable


class Unwritable(CommandError):
    """Standard output can't be written to."""


class ReaderGone(Exception):
    """The reader of standard output has closed it: `copilot-socket … | head`."""


class StandardOutput:
    """Standard output as a file, which may be closed or broken."""

    def write(self, text: str) -> int:
        """Raises :class:`Unwritable` or :class:`ReaderGone`."""
        self.require()
        with _translated_errors():
            return sys.stdout.write(text)

    def flush(self) -> None:
        """Raises :class:`Unwritable` or :class:`ReaderGone`."""
        if sys.stdout is not None:
            with _translated_errors():
                sys.stdout.flush()

    def require(self) -> None:
        """Raise :class:`Unwritable` if it is closed: a command that can't print its result should do nothing."""
        if sys.stdout is None:
            raise Unwritable("standard output is closed")

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return sys.stdout is not None and sys.stdout.isatty()

    @property
    def encoding(self) -> str:
        """The stream's encoding, or ASCII if it has none."""
        return getattr(sys.stdout, "encoding", None) or "ascii"


@contextlib.contextmanager
def _translated_errors() -> Any:
    try:
        yield
    except BrokenPipeError:
        raise ReaderGone from None
    except (OSError, ValueError) as error:
        raise Unwritable(f"can't write to standard output: {getattr(error, 'strerror', None) or error}") from None


standard_output = StandardOutput()


def screen(*, wide: bool = False) -> Screen:
    """What standard output is shown on."""
    return screen_on(standard_output.isatty(), os.environ, wide=wide)


def say(text: str) -> None:
    """Print a line of the result. Control characters are escaped, but for those of a :class:`.Styled` line."""
    standard_output.write(f"{text if isinstance(text, Styled) else printable(text)}\n")


def complain(text: str) -> None:
    """Print a line to standard error; ignored if that can't be written, the exit status remains."""
    try:
        sys.stderr.write(f"copilot-socket: {printable(text)}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        abandon(sys.stderr)


def confirmed(question: str) -> bool:
    """Whether a person at the terminal says yes. Raises CommandError where there is none."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise CommandError(f"{question} There is no terminal to ask at: --yes")
    complain(f"{question} [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def emit(answer: Any) -> None:
    """Print the whole result as JSON."""
    standard_output.write(json.dumps(answer, indent=2) + "\n")


def emit_line(answer: Any) -> None:
    """Print one of several results as a line of JSON, and flush it."""
    standard_output.write(json.dumps(answer, separators=(",", ":")) + "\n")
    standard_output.flush()


def escape_unencodable() -> None:
    """Have the standard streams escape characters that their encoding lacks.

    Also buffer standard output under PYTHONUNBUFFERED, where the rest after a short write would be lost silently.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    raw = getattr(sys.stdout, "buffer", None)
    if isinstance(raw, io.RawIOBase):
        buffered: Any = io.BufferedWriter(raw)
        sys.stdout = io.TextIOWrapper(buffered, sys.stdout.encoding, "backslashreplace", line_buffering=True)


def abandon(stream: TextIO | None) -> None:
    """Redirect *stream* to the null device: flushing a broken stream at exit would raise an error."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
        os.close(nowhere)


def exit_with_reader() -> None:
    """Raise :class:`ReaderGone` in the main thread, even while it waits, once standard output has no reader."""

    def gone(_number: int, _frame: Any) -> None:
        raise ReaderGone

    def watch() -> None:
        waiting = select.poll()
        waiting.register(descriptor, 0)  # no events requested: POLLERR and POLLHUP are always reported
        waiting.poll()
        signal.pthread_kill(main, signal.SIGUSR1)  # interrupts its blocking system call

    with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or not a file
        descriptor = sys.stdout.fileno()
        main = threading.main_thread().ident or 0
        signal.signal(signal.SIGUSR1, gone)
        threading.Thread(target=watch, daemon=True).start()


class Parser(ArgumentParser):
    """A parser that reports errors when it writes the help, which argparse ignores. Subparsers inherit the class."""

    def print_help(self, file: Any = None) -> None:
        """Write the help. Raises :class:`Unwritable` or :class:`ReaderGone`."""
        (file or standard_output).write(self.format_help())


class ShowVersion(Action):
    """The action of `--version`. Raises :class:`Unwritable` or :class:`ReaderGone`."""

    def __call__(self, parser: ArgumentParser, *_: Any) -> None:
        """Write the version, and exit."""
        say(f"copilot-socket {__version__}")
        parser.exit()


def add_json_option(parser: ArgumentParser) -> None:
    """Add `--json`. It may come before the command, too: the top-level parser sets the default."""
    parser.add_argument("--json", action="store_true", default=SUPPRESS, help="print JSON")
