"""Where log lines go."""

from pathlib import Path

from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.logs import Destination, ReopenableFile, observer


def _event(level: str, text: str) -> dict[str, object]:
    return {
        "log_level": LogLevel.lookupByName(level),
        "log_namespace": "copilot_socket.test",
        "log_time": 0.0,
        "log_format": text,
    }


class LogTests(SynchronousTestCase):
    """Files and levels."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.file = ReopenableFile(self.path)
        self.addCleanup(self.file._file.close)

    def test_levels(self) -> None:
        """Only the configured level and above is written."""
        write = observer("warn", self.file)
        for level in ("debug", "info", "warn", "error"):
            write(_event(level, level))
        self.assertEqual([line.split()[-1] for line in self.path.read_text().splitlines()], ["warn", "error"])

    def test_reopen(self) -> None:
        """After the file was moved away, new lines stand in a new one and none is lost."""
        destination = Destination()
        destination.out, destination.level = self.file, "debug"
        write = destination.observer()
        write(_event("info", "first"))
        old = self.path.rename(self.path.with_suffix(".1"))
        write(_event("info", "second"))
        self.assertTrue(destination.reopen())
        write(_event("info", "third"))
        self.assertEqual([line.split()[-1] for line in old.read_text().splitlines()], ["first", "second"])
        self.assertEqual([line.split()[-1] for line in self.path.read_text().splitlines()], ["third"])

    def test_nothing_to_reopen(self) -> None:
        """Standard output stays what it is."""
        self.assertFalse(Destination().reopen())
