"""Warnings and errors that are repeated."""

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from copilot_socket.logs.limiter import PERIOD, TEXTS, Limiter
from copilot_socket.logs.lines import json_line


class LimiterTests(SynchronousTestCase):
    """What a loop writes, on a clock that is moved by hand."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.lines: list[dict[str, Any]] = []
        limiter = Limiter(lambda event: self.lines.append(json.loads(json_line(event))), self.clock.seconds)
        self.log = Logger("copilot_socket.test", observer=limiter)
        self.other = Logger("copilot_socket.other", observer=limiter)

    @property
    def messages(self) -> list[str]:
        """What was written since the last look."""
        messages = [line["message"] for line in self.lines]
        self.lines.clear()
        return messages

    def _fail(self, error: str) -> None:
        try:
            raise RuntimeError(error)
        except RuntimeError:
            self.log.failure("The writer failed")

    def test_once_a_minute(self) -> None:
        """The first in full, then one a minute with the number of the others; numbers in it make no difference."""
        for number in range(2 * int(PERIOD) * 8 + 1):
            self.log.warn("tried {number} times in vain: {error}", number=number, error=ValueError("no"))
            self.clock.advance(0.125)
        first, *rest = self.lines
        self.assertEqual((first["message"], first["error"]), ("tried 0 times in vain: no", "no"))
        self.assertEqual(
            [(line["message"], line["level"], line["namespace"], line["more"]) for line in rest],
            [
                (f"tried {last} times in vain: no ({more} more like it)", "warn", "copilot_socket.test", more)
                for last, more in ((479, 479), (959, 480))
            ],
        )

    def test_summary_with_the_next_line(self) -> None:
        """Suppressed lines are summed up before the next event of any level, once."""
        for _ in range(3):
            self.log.error("broken")
        self.assertEqual(self.messages, ["broken"])
        self.clock.advance(PERIOD)
        self.other.debug("something else")
        self.assertEqual(self.messages, ["broken (2 more like it)", "something else"])
        self.clock.advance(PERIOD)
        self.other.debug("something else")
        self.assertEqual(self.messages, ["something else"])

    def test_again_after_a_while(self) -> None:
        """What was not repeated for a minute is written in full again."""
        for _ in range(2):
            self.log.error("broken")
            self.clock.advance(PERIOD)
        self.assertEqual(self.messages, ["broken", "broken"])

    def test_other_causes(self) -> None:
        """Another text, level, part of the program or exception is another thing."""
        for _ in range(3):
            self.log.warn("failed: {error}", error="no route")
            self.log.warn("failed: {error}", error="no password")
            self.log.error("failed: {error}", error="no route")
            self.other.warn("failed: {error}", error="no route")
            self._fail("a")
            self._fail("b")
        expected = ["failed: no route", "failed: no password", "failed: no route", "failed: no route"]
        self.assertEqual(self.messages, [*expected, "The writer failed", "The writer failed"])

    def test_ever_other_texts(self) -> None:
        """A loop whose text is never the same is limited, too."""
        texts = [chr(ord("a") + n // 26) + chr(ord("a") + n % 26) for n in range(200)]
        for text in texts:
            self.log.warn("failed: {error}", error=text)
        self.assertEqual(self.messages, [f"failed: {text}" for text in texts[: TEXTS + 1]])
        self.clock.advance(PERIOD)
        self.log.warn("failed: {error}", error="aa")
        self.assertEqual(self.messages, [f"failed: {texts[-1]} ({199 - TEXTS} more like it)", "failed: aa"])

    def test_what_is_never_limited(self) -> None:
        """Info lines, lines about a job, and lines that are limited elsewhere always pass."""
        for number in range(100):
            self.log.info("connection opened")
            self.log.warn("job {job} is failed", job=f"J{number}")
            self.log.error("The database is unreachable", log_limited=True)
        self.assertEqual(len(self.lines), 300)

    def test_a_failure_in_full(self) -> None:
        """The first one has its traceback; the line about the others has what it was."""
        for _ in range(5):
            self._fail("out of order")
        self.clock.advance(PERIOD)
        self.other.info("something else")
        first, summary, _ = self.lines
        self.assertIn("Traceback", first["traceback"])
        self.assertNotIn("traceback", summary)
        self.assertEqual(summary["message"], "The writer failed: RuntimeError: out of order (4 more like it)")
        self.assertEqual(summary["level"], "critical")

    def test_an_observer_that_logs(self) -> None:
        """An observer may log itself, such as that it could not write."""

        def observer(event: Any) -> None:
            self.lines.append(event)
            if len(self.lines) == 1:
                log.error("lines were lost")

        log = Logger("copilot_socket.test", observer=Limiter(observer, self.clock.seconds))
        log.error("broken")
        self.assertEqual([event["log_format"] for event in self.lines], ["broken", "lines were lost"])
