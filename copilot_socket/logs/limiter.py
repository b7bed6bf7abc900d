"""Prevents loops from flooding the log: a repeated warning or error is written once a minute."""

import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from threading import Lock

import attrs
from twisted.logger import ILogObserver, LogEvent, LogLevel
from zope.interface import implementer

from copilot_socket.clock import steady
from copilot_socket.logs.lines import failure_text, message, one_line

PERIOD = 60.0
"""Seconds in which similar lines are written once."""
TEXTS = 20
"""Texts of one format that are distinguished within a period; further ones count as one."""
_LENGTH = 500
"""Characters of a text that are kept."""
_DIGITS = re.compile(r"\d+")

Format = tuple[str, str, str]
Key = tuple[Format, str]


@attrs.define
class _Alike:
    """Lines of one key within a period: its end, the text of the last line, how many were not written."""

    until: float
    text: str
    count: int = 0


@implementer(ILogObserver)
class Limiter:
    """Passes events on to *observer*.

    Of warnings and errors with the same namespace, format and text (numbers apart) the first one passes in full.
    The others are counted and summed up in one line a period, which is written before the next event of any kind.
    Lines about a job always pass.
    """

    def __init__(self, observer: ILogObserver, clock: Callable[[], float] = steady) -> None:
        self._observer = observer
        self._clock = clock
        self._lock = Lock()
        self._alike: OrderedDict[Key, _Alike] = OrderedDict()
        """Ordered by the end of their periods."""
        self._texts: Counter[Format] = Counter()

    def __call__(self, event: LogEvent) -> None:
        """Pass *event* on, or count it."""
        now = self._clock()
        with self._lock:  # threads log as well
            summaries = list(self._ended(now))
            passes = not _limited(event) or self._is_first(event, now)
        for key, alike in summaries:
            self._observer(_summary(key, alike, event))
        if passes:
            self._observer(event)

    def _is_first(self, event: LogEvent, now: float) -> bool:
        form = (event.get("log_namespace", ""), event["log_level"].name, str(event.get("log_format")))
        text = _text(event)
        key = (form, _DIGITS.sub("#", text))
        if key not in self._alike and self._texts[form] >= TEXTS:
            key = (form, "")
        alike = self._alike.get(key)
        if alike is not None:
            alike.text = text
            alike.count += 1
            return False
        self._begin(key, text, now)
        return True

    def _begin(self, key: Key, text: str, now: float) -> None:
        self._alike[key] = _Alike(now + PERIOD, text)
        self._texts[key[0]] += 1

    def _ended(self, now: float) -> Iterator[tuple[Key, _Alike]]:
        """Those whose period has ended and that have counted lines; their next period begins."""
        while self._alike:
            key, alike = next(iter(self._alike.items()))
            if alike.until > now:
                return
            del self._alike[key]
            self._texts[key[0]] -= 1
            if alike.count:
                yield key, alike
                self._begin(key, alike.text, now)


def _limited(event: LogEvent) -> bool:
    level = event.get("log_level")
    return level is not None and level >= LogLevel.warn and "job" not in event and not event.get("log_limited")


def _text(event: LogEvent) -> str:
    return ": ".join(filter(None, [message(event), one_line(failure_text(event))]))[:_LENGTH]


def _summary(key: Key, alike: _Alike, event: LogEvent) -> LogEvent:
    """An event with the number of lines that were not written, at the time of *event*."""
    namespace, name, _ = key[0]
    return {
        "log_namespace": namespace,
        "log_level": LogLevel.levelWithName(name),
        "log_time": event["log_time"],
        "log_format": "{log_text} ({more} more like it)",
        "log_text": alike.text,
        "more": alike.count,
    }
