"""What the command says: to people in lines, to programs in JSON. The only place that writes."""

import contextlib
import io
import json
import os
import select
import signal
import sys
import threading
from argparse import SUPPRESS, Action, ArgumentParser
from collections.abc import Sequence
from typing import Any, TextIO

from copilot_socket import __version__
from copilot_socket.cli.errors import CommandError
from copilot_socket.core.printing import printable


class Unwritable(CommandError):
    """Standard output can't be written to."""


class NobodyReads(Exception):
    """Whoever read standard output has gone: `copilot-socket … | head`."""


class StandardOutput:
    """Standard output, whatever has become of it, as a file for others to print to."""

    def write(self, text: str) -> int:
        """Raises :class:`Unwritable` or :class:`NobodyReads`."""
        self.require()
        with _explained():
            return sys.stdout.write(text)

    def flush(self) -> None:
        """Raises the same."""
        if sys.stdout is not None:
            with _explained():
                sys.stdout.flush()

    def require(self) -> None:
        """Raises :class:`Unwritable` if it is closed: a command that can't answer should do nothing."""
        if sys.stdout is None:
            raise Unwritable("standard output is closed")

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return sys.stdout is not None and sys.stdout.isatty()

    @property
    def encoding(self) -> str:
        """Of a stream that has none, as little as possible."""
        return getattr(sys.stdout, "encoding", None) or "ascii"


@contextlib.contextmanager
def _explained() -> Any:
    try:
        yield
    except BrokenPipeError:
        raise NobodyReads from None
    except (OSError, ValueError) as error:
        raise Unwritable(f"can't write to standard output: {getattr(error, 'strerror', None) or error}") from None


standard_output = StandardOutput()


def say(text: str) -> None:
    """A line of the answer. What others wrote in it does nothing to a terminal."""
    standard_output.write(f"{printable(text)}\n")


def complain(text: str) -> None:
    """A line about what went wrong; where even that can't be written, the exit status has to do."""
    try:
        sys.stderr.write(f"copilot-socket: {printable(text)}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        abandon(sys.stderr)


def emit(answer: Any) -> None:
    """The whole answer, for programs."""
    standard_output.write(json.dumps(answer, indent=2) + "\n")


def emit_line(answer: Any) -> None:
    """One of many answers, on a line of its own and at once."""
    standard_output.write(json.dumps(answer, separators=(",", ":")) + "\n")
    standard_output.flush()


def write_anything() -> None:
    """Have characters that a stream's encoding does not know written out, instead of failing on them.

    And have everything written, or an error raised: with PYTHONUNBUFFERED what a short write leaves would be dropped.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    raw = getattr(sys.stdout, "buffer", None)
    if isinstance(raw, io.RawIOBase):
        buffered: Any = io.BufferedWriter(raw)
        sys.stdout = io.TextIOWrapper(buffered, sys.stdout.encoding, "backslashreplace", line_buffering=True)


def abandon(stream: TextIO | None) -> None:
    """*stream* takes nothing any more: have nothing left that would be written to it at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
        os.close(nowhere)


def end_with_reader() -> None:
    """Have the main thread raise :class:`NobodyReads` as soon as nobody reads standard output, even as it waits."""

    def gone(_number: int, _frame: Any) -> None:
        raise NobodyReads

    def watch() -> None:
        waiting = select.poll()
        waiting.register(descriptor, 0)  # errors and hang-ups are always told; nothing else is wanted
        waiting.poll()
        signal.pthread_kill(main, signal.SIGUSR1)  # interrupts whatever system call it is in

    with contextlib.suppress(OSError, ValueError, AttributeError):  # it is closed, or no file
        descriptor = sys.stdout.fileno()
        main = threading.main_thread().ident or 0
        signal.signal(signal.SIGUSR1, gone)
        threading.Thread(target=watch, daemon=True).start()


class Parser(ArgumentParser):
    """A parser whose help is written like any other answer; argparse's own ignores that it can't be written.

    Its subparsers are of this class, too.
    """

    def print_help(self, file: Any = None) -> None:
        """Write the help. Raises :class:`Unwritable` or :class:`NobodyReads`."""
        (file or standard_output).write(self.format_help())


class ShowVersion(Action):
    """The action of `--version`. Raises the same."""

    def __call__(self, parser: ArgumentParser, *_: Any) -> None:
        """Write the version, and exit."""
        say(f"copilot-socket {__version__}")
        parser.exit()


def add_json_option(parser: ArgumentParser) -> None:
    """`--json`; `args.json` is True when it was given, here or before the command."""
    parser.add_argument("--json", action="store_true", default=SUPPRESS, help="answer in JSON, for programs")


def cell(value: Any) -> str:
    """*value* in a line or column: text as it is, a dash for nothing, everything else as JSON."""
    if value is None:
        return "-"
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """*rows*, the first one the headings, in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
