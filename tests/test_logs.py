"""Log lines: levels, formats and destinations."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure
from twisted.python.log import LogPublisher as OldPublisher
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket import __version__
from copilot_socket.config import Config, ConfigFaults, load
from copilot_socket.config.parsers import PARTS
from copilot_socket.handlers.dispatch.dispatcher import Dispatcher
from copilot_socket.http.site import Application
from copilot_socket.logs import Destination, Levels
from copilot_socket.logs.files import LogFile, Output
from copilot_socket.logs.lines import json_line, text_line
from copilot_socket.node import Node
from copilot_socket.notify import Notifier
from copilot_socket.store.writer import Writer
from copilot_socket.wire.protocol import CrawlerProtocol


def _event_of(say: Callable[[Logger], None], namespace: str = "copilot_socket.test") -> dict[str, Any]:
    """The event that a logger makes."""
    events: list[dict[str, Any]] = []
    say(Logger(namespace, observer=LogPublisher(events.append)))  # type: ignore[arg-type]
    return events[0]


def _fail(log: Logger) -> None:
    try:
        raise RuntimeError("out of order")
    except RuntimeError:
        log.failure("The {part} failed", part="writer")


class JsonTests(SynchronousTestCase):
    """One JSON object a line."""

    def line(self, say: Callable[[Logger], None], namespace: str = "copilot_socket.test") -> dict[str, Any]:
        """What one event becomes."""
        event = _event_of(say, namespace)
        event["log_time"] = 1_767_225_600.0426
        text = json_line(event)
        self.assertEqual(text.count("\n"), 1)
        self.assertTrue(text.endswith("}\n"))
        read: dict[str, Any] = json.loads(text)
        self.assertTrue(text[:-1].isprintable())
        self.assertNotIn('": ', text, "compact")
        return read

    def test_fields(self) -> None:
        """Time in UTC, level, namespace, message, and the values by their names; what is None is left out."""
        said = self.line(
            lambda log: log.info("{job} of {crawler}", job="J", crawler="c", count=2, ok=True, reason=None)
        )
        expected = {
            "timestamp": "2026-01-01T00:00:00.042Z",
            "level": "info",
            "namespace": "copilot_socket.test",
            "message": "J of c",
            "job": "J",
            "crawler": "c",
            "count": 2,
            "ok": True,
        }
        self.assertEqual(said, expected)

    def test_failure(self) -> None:
        """A failure brings its traceback, in a field."""
        said = self.line(_fail)
        self.assertEqual((said["level"], said["message"], said["part"]), ("critical", "The writer failed", "writer"))
        self.assertIn("Traceback", said["traceback"])
        self.assertIn("RuntimeError: out of order\n", said["traceback"])

    def test_failure_without_a_text(self) -> None:
        """An exception whose __str__ fails is logged, too."""

        class Silent(Exception):
            def __str__(self) -> str:
                raise ValueError("no text")

        def say(log: Logger) -> None:
            try:
                raise Silent
            except Silent as error:
                log.failure("Failed: {error}", error=error)

        said = self.line(say)
        self.assertEqual(said["level"], "critical")
        self.assertIn("traceback", said)

    def test_plain_values_only(self) -> None:
        """Of an object nothing is written: it may hold a secret. Of an exception its text is."""
        secret = {"token": "hush"}
        said = self.line(
            lambda log: log.warn("{n}: {error}", n=1, error=OSError(28, "full"), message=secret, other=secret)
        )
        self.assertEqual((said["error"], said["message"]), ("[Errno 28] full", "1: [Errno 28] full"))
        self.assertNotIn("other", said)

    def test_awkward_text(self) -> None:
        """Line ends, lone surrogates and numbers that JSON does not have stay in one readable line."""
        for text in ("x\r\ny\u2028", "\x1b[2J\x9b31m\u202e\u200f\x7f", "\U000e0041 🏳\ufe0f Größe 1\xa0€ 👍"):
            self.assertEqual(self.line(lambda log, text=text: log.info("{a}", a=text))["a"], text)
        self.assertEqual(self.line(lambda log: log.info("{a}", a=float("inf")))["a"], "inf")
        path = Path(self.mktemp())
        file = LogFile(path)
        self.addCleanup(file.close)
        file.write(json_line(_event_of(lambda log: log.info("{a}", a="\udc80"))))
        self.assertEqual(json.loads(path.read_bytes())["a"], "\udc80")

    def test_events_of_others(self) -> None:
        """Of Twisted's own events, whose values we do not know, there is the message only."""
        said = self.line(lambda log: log.info("Hello {who}", who="you"), "twisted.web")
        self.assertEqual(list(said), ["timestamp", "level", "namespace", "message"])
        self.assertEqual(said["message"], "Hello you")


class TextTests(SynchronousTestCase):
    """Lines for people."""

    def test_line(self) -> None:
        """Time, namespace, level and message; a traceback follows, indented."""
        line = text_line(_event_of(lambda log: log.warn("{a}", a="x"))) or ""
        self.assertRegex(line, r"^\d{4}-\d\d-\d\dT\S+ \[copilot_socket\.test#warn\] x\n$")
        lines = (text_line(_event_of(_fail)) or "").splitlines()
        self.assertTrue(lines[0].endswith("#critical] The writer failed"), lines[0])
        self.assertEqual([line[0] for line in lines[1:]], ["\t"] * (len(lines) - 1))
        self.assertEqual(lines[-1], "\tbuiltins.RuntimeError: out of order")

    def test_one_line(self) -> None:
        """Whatever a message holds, it is one line, and nothing in it moves the cursor or turns the text around."""
        libpq = "connection failed: Connection refused\n\tIs the server running on that host?\n"
        for said, written in (
            (libpq, "connection failed: Connection refused Is the server running on that host?"),
            ("x\n[fake#info] y", "x [fake#info] y"),
            ("a\r\n\x0b\x85\u2028b\tc", "a b c"),
            ("\x1b[2J\x00\x9b1m\u202eevil", "\\x1b[2J\\x00\\x9b1m\\u202eevil"),
            ("Größe 1\u00a0€ 👍", "Größe 1\u00a0€ 👍"),
        ):
            event = _event_of(lambda log, said=said: log.warn("{a}", a=said))  # type: ignore[misc]
            self.assertTrue((text_line(event) or "").endswith(f"#warn] {written}\n"), text_line(event))
            self.assertEqual(json.loads(json_line(event))["message"], written)

    def test_a_traceback_with_strange_characters(self) -> None:
        """Lines of a traceback are lines of a traceback, whatever the text of the exception holds."""

        def say(log: Logger) -> None:
            try:
                raise RuntimeError("a\r\n2026-01-01T00:00:00+0000 [fake#info] b\x1b[1m")
            except RuntimeError:
                log.failure("Failed")

        text = text_line(_event_of(say)) or ""
        self.assertEqual(re.findall(r"\n(?!\t).", text), [])
        self.assertIn("\\x1b[1m", text)

    def test_older_interface(self) -> None:
        """Where Twisted logs by its older interface, the traceback is in the text: it is taken out of that."""
        events: list[dict[str, Any]] = []
        publisher = LogPublisher(events.append)  # type: ignore[arg-type]
        old = OldPublisher(publishPublisher=publisher)
        old.msg(failure=Failure(RuntimeError("no")), why=None, isError=1, system="connection")
        line = text_line(events[0]) or ""
        self.assertIn("[connection] Unhandled Error\n\tTraceback", line)
        self.assertEqual(line.count("RuntimeError"), 1)
        said = json.loads(json_line(events[0]))
        self.assertEqual((said["message"], "RuntimeError: no" in said["traceback"]), ("Unhandled Error", True))

    def test_nothing_but_a_failure(self) -> None:
        """A Deferred's unhandled error comes without a text of its own."""

        def say(log: Logger) -> None:
            try:
                raise RuntimeError("out of order")
            except RuntimeError:
                log.failure("")

        event = _event_of(say)
        self.assertIn("#critical] RuntimeError: out of order\n\tTraceback", text_line(event) or "")
        self.assertEqual(json.loads(json_line(event))["message"], "RuntimeError: out of order")


class LevelTests(SynchronousTestCase):
    """Which lines are written."""

    def written(self, levels: Levels, namespace: str) -> list[str]:
        """The levels of *namespace* that pass."""
        events = [
            _event_of(lambda log, level=level: getattr(log, level)("x"), namespace)  # type: ignore[misc]
            for level in ("debug", "info", "warn", "error", "critical")
        ]
        return [event["log_level"].name for event in events if levels.predicate(event).name == "maybe"]

    def test_levels(self) -> None:
        """A level lets itself and what is worse through."""
        self.assertEqual(self.written(Levels("debug"), "x"), ["debug", "info", "warn", "error", "critical"])
        self.assertEqual(self.written(Levels("warn"), "x"), ["warn", "error", "critical"])
        self.assertEqual(self.written(Levels("error"), "x"), ["error", "critical"])
        self.assertEqual(self.written(Levels("info"), "copilot_socket.x"), ["info", "warn", "error", "critical"])

    def test_what_twisted_has_to_inform_of(self) -> None:
        """Ports and factories that start and stop, a cache that can't be written: at info it is not written."""
        for namespace in ("twisted.internet", "log_legacy"):
            self.assertEqual(self.written(Levels("info"), namespace), ["warn", "error", "critical"])

    def test_debug_of_a_part(self) -> None:
        """A part is opened with all below it, and nothing beside it; all is open with socket:*, but not Twisted."""
        part, all_ = Levels("error", ["socket:store"]), Levels("error", ["socket:*"])
        for levels, namespace, expected in (
            (part, "copilot_socket.store", True),
            (part, "copilot_socket.store.writer", True),
            (part, "copilot_socket.storehouse", False),
            (part, "copilot_socket.wire", False),
            (all_, "copilot_socket.http", True),
            (all_, "twisted.web", False),
        ):
            self.assertEqual("debug" in self.written(levels, namespace), expected, namespace)
            self.assertEqual(levels.writes(namespace, LogLevel.debug), expected, namespace)

    def test_debug_of_the_rest(self) -> None:
        """socket:node is what belongs to no other part."""
        levels = Levels("error", ["socket:node", "socket:http"])
        for namespace, expected in (
            ("copilot_socket.node.Node", True),
            ("copilot_socket.timers.Timers", True),
            ("copilot_socket.http.site", True),
            ("copilot_socket.wire.protocol", False),
            ("twisted.web", False),
        ):
            self.assertEqual(levels.writes(namespace, LogLevel.debug), expected, namespace)

    def test_loggers_lie_in_their_parts(self) -> None:
        """The loggers that there are have the namespaces that DEBUG opens."""
        for name, logger in (
            ("wire", CrawlerProtocol.log),
            ("handlers", Dispatcher.log),
            ("store", Writer.log),
            ("http", Application.log),
            ("node", Node.log),
            ("node", Notifier.log),
        ):
            self.assertEqual(
                [part for part in (*PARTS, "node") if _opens(part, logger.namespace)],
                [name],
            )


def _opens(part: str, namespace: str) -> bool:
    """Whether DEBUG with *part* has debug lines of *namespace* written."""
    return Levels("info", [f"socket:{part}"]).writes(namespace, LogLevel.debug)


class FileTests(SynchronousTestCase):
    """Files that are moved away, and disks that are full."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def file(self, path: Path) -> LogFile:
        """A log file, closed after the test."""
        file = LogFile(path)
        self.addCleanup(file.close)
        return file

    def test_reopen(self) -> None:
        """After the file was moved away, new lines stand in a new one and none is lost."""
        file = self.file(self.path)
        file.write("first\n")
        old = self.path.rename(self.path.with_suffix(".1"))
        file.write("second\n")
        file.reopen()
        file.write("third\n")
        self.assertEqual((old.read_text(), self.path.read_text()), ("first\nsecond\n", "third\n"))

    def test_reopen_in_vain(self) -> None:
        """Where the name can't be opened, the old file stays in use."""
        file = self.file(self.path)
        old = self.path.rename(self.path.with_suffix(".1"))
        self.path.mkdir()
        self.assertRaises(IsADirectoryError, file.reopen)
        file.write("still here\n")
        self.assertEqual(old.read_text(), "still here\n")

    def test_mode(self) -> None:
        """A file that is made is not for everybody, and not for child processes."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        file = self.file(self.path)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o640)
        file.reopen()
        self.assertFalse(os.get_inheritable(file._fd))

    def test_full_disk(self) -> None:
        """Nothing is raised; once there is room again, writing goes on, and the number of lost lines is logged."""
        said: list[str] = []
        self.patch(
            Output, "log", Logger("x", observer=LogPublisher(lambda event: said.append(text_line(event) or "")))
        )
        self.patch(os.sys, "__stderr__", errors := _Kept())  # type: ignore[attr-defined]
        self.path.symlink_to("/dev/full")
        file = self.file(self.path)
        for _ in range(3):
            file.write("lost\n")
        self.assertEqual(
            errors.text, f"copilot-socket: can't write to the log ({self.path}): No space left on device\n"
        )
        self.path.unlink()
        file.reopen()
        file.write("kept\n")
        file.write("kept too\n")
        self.assertEqual(self.path.read_text(), "kept\nkept too\n")
        self.assertEqual(len(said), 1)
        self.assertIn(f"3 log lines could not be written to {self.path}", said[0])

    def test_line_cut_short(self) -> None:
        """The line after one that was written in part begins on a line of its own."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        self.patch(os.sys, "__stderr__", None)  # type: ignore[attr-defined]
        out = Output(writing, "a pipe")
        out.write("x" * 1_000_000 + "\n")
        self.assertEqual(set(os.read(reading, 1_000_000)), {ord("x")})
        out.write("whole\n")
        self.assertEqual(os.read(reading, 100), b"\nwhole\n")


class _Kept:
    """A stream whose text is kept."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        """Nothing is held back."""


class DestinationTests(SynchronousTestCase):
    """The log of a process, as configured."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.log, self.errors = self.directory / "log", self.directory / "errors"

    def config(self, **environ: str) -> Config:
        """A configuration with these variables."""
        return load({"HOME": "/home/x", **environ}, {}, {}, uid=1000)

    def opened(self, **environ: str) -> tuple[Destination, Logger]:
        """The destination that *environ* asks for, and a logger that writes to it."""
        destination = Destination()
        self.addCleanup(destination.close)
        destination.open(self.config(**environ))
        observer: ILogObserver = destination.observer()
        destination.log = Logger("copilot_socket.node", observer=observer)  # type: ignore[misc]
        self.first = self.log.read_text() if self.log.exists() else ""
        for file in (self.log, self.errors):
            if file.exists():
                os.truncate(file, 0)
        return destination, Logger("copilot_socket.http", observer=observer)

    def messages(self, path: Path) -> list[str]:
        """Those of a log of JSON lines."""
        return [json.loads(line)["message"] for line in path.read_text().splitlines()]

    def opened_with_errors(self, **environ: str) -> tuple[Destination, Logger]:
        """With both files, as JSON."""
        files = {"SOCKET_LOG_FILE": str(self.log), "SOCKET_ERROR_LOG_FILE": str(self.errors)}
        return self.opened(SOCKET_LOG_FORMAT="json", **files, **environ)

    def test_errors_apart(self) -> None:
        """Errors stand in both files, whatever DEBUG opens; in the format of the log."""
        _, log = self.opened_with_errors(SOCKET_LOG_LEVEL="warn", DEBUG="socket:http")
        for say in (log.debug, log.info, log.warn, log.error, log.critical):
            say(say.__name__)
        self.assertEqual(self.messages(self.log), ["debug", "info", "warn", "error", "critical"])
        self.assertEqual(self.messages(self.errors), ["error", "critical"])

    def test_first_line(self) -> None:
        """The first line of a log says which program writes it; a log of errors has no such line."""
        self.opened_with_errors()
        first = json.loads(self.first)
        self.assertEqual(first["message"].split(" (")[0], f"copilot-socket {__version__}")
        self.assertEqual((first["version"], first["pid"]), (__version__, os.getpid()))

    def test_text(self) -> None:
        """Text for those who ask for it."""
        _, log = self.opened(SOCKET_LOG_FILE=str(self.log), SOCKET_LOG_FORMAT="text")
        log.info("hello")
        self.assertRegex(self.log.read_text(), re.compile(r"^\S+ \[copilot_socket.http#info\] hello$", re.MULTILINE))

    def test_reopen(self) -> None:
        """Both files follow their names, and the log says so; one that can't be does not keep the other from it."""
        destination, log = self.opened_with_errors()
        old = self.log.rename(self.directory / "log.1"), self.errors.rename(self.directory / "errors.1")
        destination.reopen()
        log.error("new")
        self.assertEqual([path.read_text() for path in old], ["", ""])
        again = [f"{path} is reopened" for path in (self.log, self.errors)]
        self.assertEqual((self.messages(self.log), self.messages(self.errors)), ([*again, "new"], ["new"]))
        self.log.rename(self.directory / "log.2")
        self.errors.unlink()
        self.log.mkdir()
        destination.reopen()
        self.assertEqual(len(self.messages(self.errors)), 1)
        self.assertIn(f"{self.log} can't be reopened", self.messages(self.errors)[0])

    def test_relative_path(self) -> None:
        """A relative path means the directory in which the process began."""
        here = Path.cwd()
        self.addCleanup(os.chdir, here)
        os.chdir(self.directory)
        destination, _ = self.opened(SOCKET_LOG_FILE="log")
        os.chdir("/")
        self.log.unlink()
        destination.reopen()
        self.assertIn("reopened", self.log.read_text())

    def test_what_cannot_be_opened(self) -> None:
        """It is a fault of its variable, reported together with others, and with the reason."""
        config = self.config(SOCKET_LOG_FILE="/nowhere/log", SOCKET_ERROR_LOG_FILE=str(self.directory))
        faults = self.assertRaises(ConfigFaults, Destination().open, config)
        self.assertEqual(
            str(faults),
            "SOCKET_LOG_FILE is '/nowhere/log' (environment): "
            "allowed is a file that can be written to (No such file or directory)\n"
            f"SOCKET_ERROR_LOG_FILE is '{self.directory}' (environment): "
            "allowed is a file that can be written to (Is a directory)",
        )

    def test_a_pipe_that_nobody_reads(self) -> None:
        """A named pipe is opened without waiting for its reader: without one it is a fault, as other files are."""
        pipe = self.directory / "pipe"
        os.mkfifo(pipe)
        faults = self.assertRaises(ConfigFaults, Destination().open, self.config(SOCKET_LOG_FILE=str(pipe)))
        self.assertIn("allowed is a file that can be written to (No such device or address)", str(faults))

    def test_closed_standard_output(self) -> None:
        """A process without standard output does not take another file for it."""
        self.patch(os.sys, "__stdout__", None)  # type: ignore[attr-defined]
        faults = self.assertRaises(ConfigFaults, Destination().open, self.config())
        self.assertIn("SOCKET_LOG_FILE is '-' (default)", str(faults))
        self.assertIn("standard output is closed", str(faults))
